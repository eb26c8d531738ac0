package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strakeproject/strake/kv/client"
)

type memberCmd struct {
	List   memberListCmd   `cmd:"" help:"list the members of the cluster"`
	Add    memberAddCmd    `cmd:"" help:"make room for a new member, and print what it is to be started with"`
	Remove memberRemoveCmd `cmd:"" help:"take a member out of the cluster for good"`
	Update memberUpdateCmd `cmd:"" help:"change the peer URLs of a member"`
}

type memberListCmd struct {
	Args []string `arg:"" optional:"" hidden:""`
}

func (c *memberListCmd) Run(a *app) error {
	if len(c.Args) > 0 {
		return plainFailure("No arguments accepted")
	}
	return a.administer(func(ctx context.Context, cl *client.Client) error {
		members, err := cl.Members(ctx)
		if err != nil {
			return err
		}
		leader, err := cl.Leader(ctx)
		if err != nil {
			return plainFailure("Failed to get leader:  " + reason(err))
		}
		for _, m := range members {
			if m.Name == "" {
				fmt.Fprintf(a.stdout, "%s[unstarted]: peerURLs=%s\n", m.ID, strings.Join(m.PeerURLs, ","))
				continue
			}
			fmt.Fprintf(a.stdout, "%s: name=%s peerURLs=%s clientURLs=%s isLeader=%v\n",
				m.ID, m.Name, strings.Join(m.PeerURLs, ","), strings.Join(m.ClientURLs, ","), m.ID == leader.ID)
		}
		return nil
	})
}

type memberAddCmd struct {
	Args []string `arg:"" optional:"" name:"<name> <peerURL>" help:"the URL is where the other members will reach it"`
}

// Help is what kong shows below the flags' summary.
func (c *memberAddCmd) Help() string {
	return `Prints what the new member is to be started with, as variables of its environment. It has a vote once it has caught up.

  etcdctl member add n4 http://10.0.0.4:2380`
}

func (c *memberAddCmd) Run(a *app) error {
	if len(c.Args) != 2 {
		return plainFailure("Provide a name and a single member peerURL")
	}
	name, url := c.Args[0], c.Args[1]
	return a.administer(func(ctx context.Context, cl *client.Client) error {
		added, err := cl.AddMember(ctx, []string{url})
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "Added member named %s with ID %s to cluster\n", name, added.ID)
		members, err := cl.Members(ctx)
		if err != nil {
			return err
		}
		var cluster []string
		for _, m := range members {
			if m.ID == added.ID {
				m.Name = name
			}
			for _, u := range m.PeerURLs {
				cluster = append(cluster, m.Name+"="+u)
			}
		}
		fmt.Fprintf(a.stdout, "\nETCD_NAME=%q\nETCD_INITIAL_CLUSTER=%q\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n",
			name, strings.Join(cluster, ","))
		return nil
	})
}

type memberRemoveCmd struct {
	Args []string `arg:"" optional:"" name:"<id>" help:"as member list prints it"`
}

func (c *memberRemoveCmd) Run(a *app) error {
	if len(c.Args) != 1 {
		return plainFailure("Provide a single member ID")
	}
	id := c.Args[0]
	return a.administer(func(ctx context.Context, cl *client.Client) error {
		// The list first, to tell an id that is wrong from one that is a name.
		members, err := cl.Members(ctx)
		if err != nil {
			return plainFailure("Error while finding member: " + reason(err))
		}
		if !slices.ContainsFunc(members, func(m client.Member) bool { return m.ID == id }) {
			for _, m := range members {
				if m.Name == id {
					fmt.Fprintf(a.stderr, "Found a member named %s; if this is correct, please use its ID, eg:\n\tetcdctl member remove %s\n\n", id, m.ID)
				}
			}
			return plainFailure(fmt.Sprintf("Couldn't find a member in the cluster with an ID of %s.", id))
		}
		if err := cl.RemoveMember(ctx, id); err != nil {
			return plainFailure(fmt.Sprintf("Received an error trying to remove member %s: %s", id, reason(err)))
		}
		fmt.Fprintf(a.stdout, "Removed member %s from cluster\n", id)
		return nil
	})
}

type memberUpdateCmd struct {
	Args []string `arg:"" optional:"" name:"<id> <peerURLs>" help:"id as member list prints it; URLs separated by commas"`
}

func (c *memberUpdateCmd) Run(a *app) error {
	if len(c.Args) != 2 {
		return plainFailure("Provide an ID and a list of comma separated peerURL (0xabcd http://example.com,http://example1.com)")
	}
	id, urls := c.Args[0], strings.Split(c.Args[1], ",")
	return a.administer(func(ctx context.Context, cl *client.Client) error {
		if err := cl.UpdateMember(ctx, id, urls); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "Updated member with ID %s in cluster\n", id)
		return nil
	})
}
