//go:build linux

package netlab_test

import (
	"fmt"
	"os/exec"

	"github.com/strakeproject/strake/examples/lab/netlab"
)

// Two hosts, of which one can no longer hear the other. This needs root.
func Example() {
	n, err := netlab.New(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer n.Close()
	a, errA := n.AddHost("a")
	b, errB := n.AddHost("b")
	if errA != nil || errB != nil {
		fmt.Println(errA, errB)
		return
	}
	n.Set(b, a, netlab.Link{Cut: true})
	p, err := a.Start(exec.Command("ping", "-c1", "-W1", b.Addr().String()), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	<-p.Done()
	fmt.Println("ping:", p.Err())
}
