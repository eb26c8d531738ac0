package unit_test

import (
	"fmt"

	"github.com/strakeproject/strake/unit"
)

func Example() {
	const name = "web@1.service"
	if err := unit.CheckName(name); err != nil {
		fmt.Println(err)
		return
	}
	f, err := unit.Parse([]byte(`
# One web server a machine, on an SSD.
[Service]
ExecStart=/usr/bin/web --port 808%i

[X-Fleet]
Conflicts=%p@*.service
MachineMetadata=disk=ssd
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	options, warnings, err := unit.ParseOptions(name, f)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(f)
	fmt.Println("hash", f.Hash().Short())
	fmt.Println("instance", unit.Name(name).Instance(), "of", unit.Name(name).Template())
	fmt.Println("conflicts with", options.Conflicts, "needs", options.MachineMetadata, "warnings", len(warnings))
	// Output:
	// [Service]
	// ExecStart=/usr/bin/web --port 808%i
	//
	// [X-Fleet]
	// Conflicts=%p@*.service
	// MachineMetadata=disk=ssd
	// hash 45941fb
	// instance 1 of web@.service
	// conflicts with [web@*.service] needs map[disk:[ssd]] warnings 0
}

func ExampleMangle() {
	fmt.Println(unit.Mangle("web"), unit.Mangle("web.socket"))
	// Output: web.service web.socket
}
