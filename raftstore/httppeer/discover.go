package httppeer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/strakeproject/strake/raftstore"
)

const clusterPath = "/raft/v1/cluster"

// Discover asks the members at the given peer URLs, one after the other, for
// what a new member has to know to join their cluster. A nil client means
// http.DefaultClient.
func Discover(ctx context.Context, client *http.Client, urls ...string) (raftstore.Cluster, error) {
	if client == nil {
		client = http.DefaultClient
	}
	var errs []error
	for _, u := range urls {
		c, err := discoverAt(ctx, client, u)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return raftstore.Cluster{}, fmt.Errorf("httppeer: no member tells of its cluster: %w", errors.Join(errs...))
}

func discoverAt(ctx context.Context, client *http.Client, u string) (c raftstore.Cluster, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u+clusterPath, nil)
	if err != nil {
		return c, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c, fmt.Errorf("%s%s: %s", u, clusterPath, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 16<<20)).Decode(&c); err != nil {
		return c, fmt.Errorf("%s%s: %w", u, clusterPath, err)
	}
	return c, nil
}
