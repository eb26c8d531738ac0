package network_test

import (
	"fmt"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/network"
)

func Example() {
	setup, err := network.Convert(network.Debian, []byte(`
auto eth0
iface eth0 inet static
    address 10.0.0.2
    netmask 255.255.255.0
    gateway 10.0.0.1
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("down:", setup.Down)
	// Next to the user's own configuration:
	options := cloudconfig.Options{Units: setup.Units}
	for _, u := range options.Units {
		fmt.Println(u.Name)
		fmt.Print(u.Content)
	}
	// Output:
	// down: [eth0]
	// 00-eth0.network
	// [Match]
	// Name=eth0
	//
	// [Network]
	//
	// [Address]
	// Address=10.0.0.2/24
	//
	// [Route]
	// Destination=0.0.0.0/0
	// Gateway=10.0.0.1
}
