package systemd_test

import (
	"context"
	"fmt"
	"os"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/systemd"
)

// The machine that runs is brought up to date. This is for a program that root
// starts at boot.
func Example() {
	ctx := context.Background()
	config := &cloudconfig.Config{Hostname: "node1"}
	root, err := os.OpenRoot("/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer root.Close()
	plan, err := cloudconfig.NewPlan(config, root.FS(), cloudconfig.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	manager, err := systemd.Dial(ctx, systemd.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close()
	if err := cloudconfig.Apply(ctx, plan, cloudconfig.Machine{Root: "/", Units: manager}); err != nil {
		fmt.Println(err)
	}
}
