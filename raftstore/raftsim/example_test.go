package raftsim_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/raftsim"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// echo is a state machine without state.
type echo struct{}

func (echo) Open(context.Context, string) (raftstore.Position, error) {
	return raftstore.Position{}, nil
}

func (echo) Apply(cmds []raftstore.Command, _ raftstore.Position) (results [][]byte, err error) {
	for _, c := range cmds {
		results = append(results, c.Data)
	}
	return results, nil
}

func (echo) Close() error { return nil }

// Three members, of which one is cut off: it can change nothing, the others can.
func Example() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "sim")
	defer os.RemoveAll(dir)

	net := raftsim.NewNetwork()
	initial := []raftstore.InitialMember{
		{Name: "a", URLs: []string{"sim://a"}}, {Name: "b", URLs: []string{"sim://b"}}, {Name: "c", URLs: []string{"sim://c"}},
	}
	nodes := make(map[string]*raftstore.Node)
	for _, m := range initial {
		log, err := seglog.Open(filepath.Join(dir, m.Name, "log"), seglog.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		nodes[m.Name], err = raftstore.Open(ctx, raftstore.Config{
			Dir: filepath.Join(dir, m.Name), Name: m.Name, Initial: initial,
			StateMachine: echo{}, Log: log, Transport: net.Transport(), TickInterval: 10 * time.Millisecond,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer nodes[m.Name].Stop(ctx)
	}

	net.Isolate("a", "b", "c")
	result, err := nodes["b"].Propose(ctx, []byte("hello"))
	fmt.Println("b:", string(result), err)

	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = nodes["a"].ReadBarrier(short)
	fmt.Println("a: timed out:", errors.Is(err, context.DeadlineExceeded))
	// Output:
	// b: hello <nil>
	// a: timed out: true
}
