package raftstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// counter adds up numbers. It keeps nothing on disk: after a restart the log is
// applied to it from the beginning.
type counter struct{ sum int }

func (c *counter) Open(context.Context, string) (raftstore.Position, error) {
	return raftstore.Position{}, nil
}

func (c *counter) Apply(cmds []raftstore.Command, _ raftstore.Position) ([][]byte, error) {
	var results [][]byte
	for _, cmd := range cmds {
		n, _ := strconv.Atoi(string(cmd.Data)) // nonsense counts as 0, on every member
		c.sum += n
		results = append(results, []byte(strconv.Itoa(c.sum)))
	}
	return results, nil
}

func (c *counter) Close() error { return nil }

func Example() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "counter")
	defer os.RemoveAll(dir)
	log, err := seglog.Open(filepath.Join(dir, "log"), seglog.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	node, err := raftstore.Open(ctx, raftstore.Config{
		Dir:          dir,
		Name:         "a",
		Initial:      []raftstore.InitialMember{{Name: "a", URLs: []string{"http://127.0.0.1:2380"}}},
		StateMachine: &counter{},
		Log:          log,
		Transport:    raftsim.NewNetwork().Transport(), // httppeer.New for real members
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop(ctx)
	for _, n := range []string{"40", "2"} {
		sum, err := node.Propose(ctx, []byte(n))
		fmt.Println(string(sum), err)
	}
	// Output:
	// 40 <nil>
	// 42 <nil>
}
