package cloudconfig_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"

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
	// line 10: warning: unrecognized key "packages" (write a unit with a command instead)
	// /run/systemd/system/etcd2.service.d/20-cloudinit.conf:
	// [Service]
	// Environment="ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379"
	// Environment="ETCD_NAME=node1"
	// start etcd2.service
	// etcd is called node1
}

func ExampleApply() {
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer root.Close()

	text := []byte(`#cloud-config
hostname: node1
coreos:
  etcd2:
    advertise-client-urls: http://$private_ipv4:2379
`)
	data, err := cloudconfig.Read(text, cloudconfig.Addresses{PrivateIPv4: netip.MustParseAddr("10.0.0.1")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		plan, err := cloudconfig.NewPlan(data.Config, root.FS(), cloudconfig.Options{Image: true})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(len(plan.Steps), " steps\n", plan)
		if err := cloudconfig.Apply(context.Background(), plan, cloudconfig.Machine{Root: dir}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// 2 steps
	// Writing file to "/etc/hostname"
	//   --- /dev/null
	//   +++ /etc/hostname	0644
	//   @@ -0,0 +1,1 @@
	//   +node1
	// Writing drop-in unit "20-cloudinit.conf" to filesystem
	//   --- /dev/null
	//   +++ /run/systemd/system/etcd2.service.d/20-cloudinit.conf	0644
	//   @@ -0,0 +1,2 @@
	//   +[Service]
	//   +Environment="ETCD_ADVERTISE_CLIENT_URLS=http://10.0.0.1:2379"
	// 0 steps
}

func ExampleParse_refused() {
	_, err := cloudconfig.Parse([]byte("#cloud-config\ncoreos:\n  update:\n    reboot-strategy: never\n"))
	fmt.Println(err)
	// Output:
	// line 4, column 22: coreos.update.reboot_strategy: invalid value "never" (valid options: "^(etcd-lock|reboot|off)$")
}
