//go:build linux

package machinelab_test

import (
	"context"
	"fmt"

	"github.com/strakeproject/strake/examples/lab/machinelab"
)

func Example() {
	ctx := context.Background()
	m, err := machinelab.Boot(ctx, machinelab.Config{Name: "one"})
	if err != nil {
		fmt.Println(err) // such as ErrNotRoot
		return
	}
	defer m.Close()
	state, err := m.Run(ctx, "", "systemctl", "is-system-running")
	fmt.Print(state, err)
}
