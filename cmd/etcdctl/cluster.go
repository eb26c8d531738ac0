package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/strakeproject/strake/kv/client"
)

type clusterHealthCmd struct {
	Forever bool     `short:"f" help:"check again every 10 seconds until SIGINT"`
	Args    []string `arg:"" optional:"" hidden:""`
}

const healthInterval = 10 * time.Second

func (c *clusterHealthCmd) Run(a *app) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cl, err := a.newClient()
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		err := a.checkCluster(ctx, cl)
		if !c.Forever {
			return err
		}
		a.report(err) // says why there is no list of members, if so
		fmt.Fprintf(a.stdout, "\nnext check after %d second...\n\n", healthInterval/time.Second)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(healthInterval):
		}
	}
}

// checkCluster checks all members and sums up.
func (a *app) checkCluster(ctx context.Context, c *client.Client) error {
	limited, cancel := context.WithTimeout(ctx, a.TotalTimeout)
	defer cancel()
	members, err := c.Members(limited)
	if err != nil {
		fmt.Fprintln(a.stdout, "cluster may be unhealthy: failed to list members")
		return err
	}
	healthy := 0
	for _, m := range members {
		if a.checkMember(ctx, c, m) {
			healthy++
		}
	}
	switch healthy {
	case 0:
		fmt.Fprintln(a.stdout, "cluster is unavailable")
	case len(members):
		fmt.Fprintln(a.stdout, "cluster is healthy")
		return nil
	default:
		fmt.Fprintln(a.stdout, "cluster is degraded")
	}
	return &failure{code: exitUnhealthy}
}

// checkMember reports on one member, asking one of its URLs after the other
// until one answers.
func (a *app) checkMember(ctx context.Context, c *client.Client, m client.Member) bool {
	if len(m.ClientURLs) == 0 {
		fmt.Fprintf(a.stdout, "member %s is unreachable: no available published client urls\n", m.ID)
		return false
	}
	for _, url := range m.ClientURLs {
		healthy, err := c.Healthy(ctx, url)
		switch {
		case err != nil:
			fmt.Fprintf(a.stdout, "failed to check the health of member %s on %s: %v\n", m.ID, url, err)
		case healthy:
			fmt.Fprintf(a.stdout, "member %s is healthy: got healthy result from %s\n", m.ID, url)
			return true
		default:
			fmt.Fprintf(a.stdout, "member %s is unhealthy: got unhealthy result from %s\n", m.ID, url)
			return false
		}
	}
	fmt.Fprintf(a.stdout, "member %s is unreachable: %v are all unreachable\n", m.ID, m.ClientURLs)
	return false
}
