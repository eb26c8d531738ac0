package cloudconfig_test

import (
	"fmt"

	"github.com/strakeproject/strake/cloudconfig"
)

func Example() {
	text := []byte(`#cloud-config
hostname: node1
coreos:
  etcd2:
    listen-client-urls: http://0.0.0.0:2379
    name: node1
  units:
    - name: etcd2.service
      command: start
packages: [vim]
`)
	for _, entry := range cloudconfig.Validate(text) {
		fmt.Println(entry)
	}
	config, err := cloudconfig.Parse(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, file := range config.Dropins() {
		fmt.Print(file.Path, ":\n", file.Content)
	}
	for _, unit := range config.CoreOS.Units {
		fmt.Println(unit.Command, unit.Name)
	}
	fmt.Println("etcd is called", config.CoreOS.Etcd2.Lookup("ETCD_NAME"))
	// Output:
	// line 10: warning: unrecognized key "packages"
	// /run/systemd/system/etcd2.service.d/20-cloudinit.conf:
	// [Service]
	// Environment="ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379"
	// Environment="ETCD_NAME=node1"
	// start etcd2.service
	// etcd is called node1
}

func ExampleParse_refused() {
	_, err := cloudconfig.Parse([]byte("#cloud-config\ncoreos:\n  update:\n    reboot-strategy: never\n"))
	fmt.Println(err)
	// Output:
	// line 4, column 22: coreos.update.reboot_strategy: invalid value "never" (valid options: "^(etcd-lock|reboot|off)$")
}
