package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// demo runs three members in one process, on loopback.
type demo struct {
	Exit bool `help:"End when all is shown, instead of going on to serve."`
}

var names = []string{"a", "b", "c"}

func (d *demo) run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "counter-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := &cluster{members: make(map[string]*member), configs: make(map[string]memberConfig)}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.start(ctx, dir); err != nil {
		return err
	}
	if err := c.show(ctx, out); err != nil {
		return err
	}
	if d.Exit {
		return nil
	}
	return c.serve(ctx, out)
}

// cluster is the members of the demo by name.
type cluster struct {
	members map[string]*member
	configs map[string]memberConfig
}

// start opens all members, each of which is given the same list of them.
func (c *cluster) start(ctx context.Context, dir string) error {
	initial := make(map[string]string)
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
		if err != nil {
			return err
		}
		defer l.Close()
		initial[name] = "http://" + l.Addr().String()
		c.configs[name] = memberConfig{Name: name, Dir: filepath.Join(dir, name), PeerURL: initial[name], Initial: initial}
		l.Close()
	}
	for _, name := range names {
		if err := c.open(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) open(ctx context.Context, name string) error {
	m, err := openMember(ctx, c.configs[name], slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("member %s: %w", name, err)
	}
	c.members[name] = m
	return nil
}

// show adds through one member, reads through another, and does the same with
// the leader stopped.
func (c *cluster) show(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := c.members["a"].do(ctx, command{Op: "add", Name: "visits", Value: 40})
	if err != nil {
		return err
	}
	leader := c.leader()
	fmt.Fprintf(out, "three members, %s leads; added 40 through a: %d\n", leader, r.Value)

	if err := c.members[leader].stop(ctx); err != nil {
		return err
	}
	delete(c.members, leader)
	other := names[0]
	if other == leader {
		other = names[1]
	}
	if r, err = c.members[other].do(ctx, command{Op: "add", Name: "visits", Value: 2}); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s stopped; added 2 through %s: %d\n", leader, other, r.Value)

	if err := c.open(ctx, leader); err != nil {
		return err
	}
	value, err := c.members[leader].read(ctx, "visits")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s started again; read through it: %d\n", leader, value)
	return nil
}

// leader returns the name of the member that leads, as the first one sees it.
func (c *cluster) leader() string {
	id := c.members[names[0]].node.Status().Leader
	for name, m := range c.members {
		if m.node.Status().ID == id {
			return name
		}
	}
	return names[0]
}

// serve offers a front for each member until ctx ends.
func (c *cluster) serve(ctx context.Context, out io.Writer) error {
	fmt.Fprintln(out, "\nserving until interrupted:")
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		front := &http.Server{Handler: newFront(c.members[name]), ReadHeaderTimeout: 10 * time.Second}
		defer front.Close()
		c.members[name].tasks.Go(func() { _ = front.Serve(l) }) // ends with the demo
		fmt.Fprintf(out, "  curl -X POST 'http://%s/registers/visits?add=1'    # through %s\n", l.Addr(), name)
	}
	<-ctx.Done()
	return nil
}

func (c *cluster) stop() error {
	var errs []error
	for _, m := range c.members {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		errs = append(errs, m.stop(ctx))
		cancel()
	}
	return errors.Join(errs...)
}
