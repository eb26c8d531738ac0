package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// joining is what came of a member that joined while writes went on.
type joining struct {
	keys    int
	filled  time.Duration // for all keys to be written
	took    time.Duration // until the new member served
	writes  int           // acknowledged meanwhile
	slowest time.Duration // of these
	median  time.Duration
}

const (
	// fillers is how many clients write the keys at a time.
	fillers = 32
	// writers is how many clients write while the member joins.
	writers = 4
)

// join has a fourth member join a cluster of three that holds many keys, of which
// the log keeps so little that the member gets a copy of them all.
func (s *scale) join(ctx context.Context, out io.Writer) error {
	j, err := joinUnderLoad(ctx, s.Dir, s.JoinKeys)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d keys written to three members in %.1f s; a fourth one joined in %.2f s beside %d writes, half of them within %.1f ms, the slowest took %.0f ms\n",
		j.keys, j.filled.Seconds(), j.took.Seconds(), j.writes, j.median.Seconds()*1e3, j.slowest.Seconds()*1e3)
	return nil
}

func joinUnderLoad(ctx context.Context, dir string, keys int) (j joining, err error) {
	sys, err := ours(ctx, dir)
	if err != nil {
		return j, err
	}
	sys.flags = []string{"--snapshot-count", "1000"}
	c, err := sys.start(ctx, 3, filepath.Join(dir, "joined"))
	if err != nil {
		return j, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	begin := time.Now()
	if err := c.fill(ctx, keys); err != nil {
		return j, err
	}
	j.keys, j.filled = keys, time.Since(begin)

	writing, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	var errs []error
	addrs := c.addrs()
	for i := range writers {
		all.Go(func() {
			own, err := writeOn(writing, addrs[i%len(addrs)], i, keys)
			mu.Lock()
			defer mu.Unlock()
			took, errs = append(took, own...), append(errs, err)
		})
	}
	begin = time.Now()
	err = c.join(ctx)
	j.took = time.Since(begin)
	stop()
	all.Wait()
	if err = errors.Join(append(errs, err)...); err != nil {
		return j, err
	}
	slices.Sort(took)
	if j.writes = len(took); j.writes > 0 {
		j.slowest, j.median = took[j.writes-1], took[j.writes/2]
	}
	return j, c.holds(ctx, keys)
}

// fill writes keys, at all members.
func (c *cluster) fill(ctx context.Context, keys int) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, fillers)
	addrs := c.addrs()
	for i := range fillers {
		all.Go(func() {
			conn, err := dial(ctx, net.Dialer{}, addrs[i%len(addrs)])
			if err != nil {
				errs[i] = err
				return
			}
			defer conn.Close()
			for n := next.Add(1) - 1; n < int64(keys) && errs[i] == nil; n = next.Add(1) - 1 {
				errs[i] = errors.Join(ctx.Err(), conn.put("/v2/keys"+key(int(n)), 256))
				if errs[i] == nil {
					errs[i] = conn.answer()
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// writeOn writes keys that are there until ctx ends, and returns how long each
// write took.
func writeOn(ctx context.Context, addr string, first, keys int) (took []time.Duration, err error) {
	conn, err := dial(ctx, net.Dialer{}, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	for n := first; ctx.Err() == nil; n += 7919 {
		begin := time.Now()
		if err := errors.Join(conn.put("/v2/keys"+key(n%keys), 256), conn.answer()); err != nil {
			return took, fmt.Errorf("write number %d: %w", len(took), err)
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// holds reads a few keys from the member that joined last, which has to have
// them.
func (c *cluster) holds(ctx context.Context, keys int) error {
	conn, err := dial(ctx, net.Dialer{}, c.members[len(c.members)-1].addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	for n := 0; n < keys; n += max(keys/100, 1) {
		if err := errors.Join(conn.get("/v2/keys"+key(n)), conn.answer()); err != nil {
			return fmt.Errorf("the member that joined: %s: %w", key(n), err)
		}
	}
	return nil
}
