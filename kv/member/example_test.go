package member_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
)

// A cluster of one, embedded in a program. Three of them need listeners, made
// by member.Listen, and a common InitialCluster.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "member")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	m, err := member.Open(ctx, member.Config{Name: "one", DataDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Stop(ctx)

	if _, err := m.Set(ctx, "/greeting", "hello", kv.SetOptions{}); err != nil {
		log.Fatal(err)
	}
	ev, err := m.Get(ctx, "/greeting", kv.GetOptions{Quorum: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ev.Node.Value)
	fmt.Println("leads itself:", m.Leader() == m.ID())
	// Output:
	// hello
	// leads itself: true
}
