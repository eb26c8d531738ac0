//go:build linux

package machinelab_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strakeproject/strake/examples/lab/machinelab"
)

// buildCloudinit builds the program.
func buildCloudinit(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "coreos-cloudinit")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/strakeproject/strake/cmd/coreos-cloudinit")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// makeDrive has the program write a config drive and returns the image's path.
func makeDrive(t *testing.T, program, userData, metaData, interfaces string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"openstack/latest/user_data":      userData,
		"openstack/latest/meta_data.json": metaData,
		"openstack/content/0000":          interfaces,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(t.TempDir(), "drive.iso")
	if out, err := exec.CommandContext(t.Context(), program, "-write-config-drive", image, "-from-configdrive", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return image
}

const (
	driveUserData = `#cloud-config
users:
- {name: toor, groups: [sudo], ssh-authorized-keys: [ssh-rsa BBBB toor@a]}
write_files:
- {path: /etc/motd, content: "from the drive\n"}
coreos:
  etcd2: {name: drive1}
  units:
  - {name: etcd2.service, command: start}
  - {name: app.service, command: start, enable: true, content: "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"}
`
	driveMetaData   = `{"hostname": "drive1", "public_keys": {"a": "ssh-rsa AAAA core@a"}, "network_config": {"content_path": "/content/0000"}}`
	driveInterfaces = "auto lab7\niface lab7 inet static\n  address 10.7.0.2\n  netmask 255.255.0.0\n"
)

// The drive is what a hypervisor would attach. Where the kernel knows no ISO 9660
// the program reads it without help, so it does so everywhere here.
func TestAMachineComesUpFromTheConfigDriveThatTheProgramMade(t *testing.T) {
	t.Parallel()
	if err := machinelab.Available(); err != nil {
		t.Skip(err)
	}
	program := buildCloudinit(t)
	image := makeDrive(t, program, driveUserData, driveMetaData, driveInterfaces)
	m := boot(t, machinelab.Config{
		Name: "fromdrive",
		Files: map[string]machinelab.File{
			"/usr/lib/systemd/system/etcd.service":      service(),
			"/usr/lib/systemd/system/etcd2.service":     service(),
			"/usr/lib/systemd/system/fleet.service":     service(),
			"/usr/lib/systemd/system/cloudinit.service": {Content: driveService},
			// There is no router to wait for.
			"/etc/systemd/network/00-lab7.network.d/alone.conf": {Content: "[Network]\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n"},
		},
		Programs: map[string]string{"/usr/bin/coreos-cloudinit": program, "/media/drive.iso": image},
	})
	run(t, m, "useradd --create-home core && groupadd --force sudo && ip link add lab7 type veth peer name lab8 && ip link set lab8 up")
	run(t, m, "systemctl start cloudinit")
	want(t, m, [][2]string{
		{"systemctl is-active etcd2 app cloudinit", "active\nactive\nactive"},
		{"systemctl is-enabled app", "enabled"},
		{"hostname; cat /etc/motd; id -nG toor", "drive1\nfrom the drive\ntoor sudo"},
		{"cat ~core/.ssh/authorized_keys ~toor/.ssh/authorized_keys", "ssh-rsa AAAA core@a\nssh-rsa BBBB toor@a"},
		{"systemctl show -P Environment etcd2", "ETCD_NAME=drive1"},
		{"grep Address= /run/systemd/network/00-lab7.network", "Address=10.7.0.2/16"},
		{"/usr/lib/systemd/systemd-networkd-wait-online --quiet --interface=lab7 --timeout=60; ip -4 -o address show dev lab7 | grep -o 10.7.0.2/16", "10.7.0.2/16"},
		{"ls /var/lib/coreos-cloudinit/state", "cloud-drive.json"},
	}...)

	const snapshot = "find /etc /home /run/systemd/system /run/systemd/network /var/lib/coreos-cloudinit -type f | sort | xargs stat -c '%n %i %y %a %U'; " +
		"systemctl show -P MainPID -P ActiveEnterTimestampMonotonic etcd2 app systemd-networkd"
	before := run(t, m, snapshot)
	run(t, m, "systemctl restart cloudinit")
	if after := run(t, m, snapshot); after != before {
		t.Errorf("the second run changed\n%s\nto\n%s", before, after)
	}
	if out := run(t, m, "coreos-cloudinit -dry-run -from-configdrive /media/drive.iso -convert-netconf debian 2>/dev/null"); strings.Contains(out, "rit") {
		t.Errorf("after two runs there is still to do\n%s", out)
	}
}

// bootUnits are the units that apply configurations as a machine boots, and their
// names.
func bootUnits(t *testing.T) (files map[string]machinelab.File, names []string) {
	t.Helper()
	const units = "../../cloudconfig/systemd"
	entries, err := os.ReadDir(units)
	if err != nil {
		t.Fatal(err)
	}
	files = make(map[string]machinelab.File)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(units, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(e.Name()) == ".rules" {
			continue // nobody watches devices in there
		}
		files["/usr/lib/systemd/system/"+e.Name()] = machinelab.File{Content: string(text)}
		names = append(names, strings.Replace(e.Name(), "@", "@a", 1))
	}
	return files, names
}

// A machine that boots has two configurations, of its platform and of its user.
func TestAMachineAppliesItsConfigurationsAsItBoots(t *testing.T) {
	t.Parallel()
	if err := machinelab.Available(); err != nil {
		t.Skip(err)
	}
	config := func(name, text string) machinelab.File {
		return machinelab.File{Content: "#cloud-config\nwrite_files:\n- {path: /etc/" + name + ", content: " + text + "}\n" +
			"- {path: /etc/last, content: " + name + "}\n"}
	}
	files, names := bootUnits(t)
	files["/usr/share/oem/cloud-config.yml"] = config("platform", "a")
	files["/var/lib/coreos-install/user_data"] = config("user", "b")
	files["/usr/lib/systemd/system/etcd.service"] = service()
	m := boot(t, machinelab.Config{
		Name: "boots", Files: files,
		Programs: map[string]string{"/usr/bin/coreos-cloudinit": buildCloudinit(t)},
	})
	run(t, m, "systemd-analyze verify "+strings.Join(names, " "))
	run(t, m, "systemctl start user-config.target")
	want(t, m, [][2]string{
		{"cat /etc/platform /etc/user /etc/last", "abuser"},
		{"systemctl list-units --failed --no-legend", ""},
		{"systemctl is-active system-config.target user-configdrive user-cloudinit-proc-cmdline", "active\ninactive\ninactive"},
		{"ls /var/lib/coreos-cloudinit/state", "local-file.json\noem.json"},
	}...)
	// At the next boot the user asks for nothing; what the platform wants stays.
	run(t, m, "echo '#cloud-config' >/var/lib/coreos-install/user_data; systemctl stop user-config.target system-config.target '*-cloudinit@*'")
	run(t, m, "systemctl start user-config.target")
	want(t, m, [2]string{"cat /etc/platform; ls /etc/user", "a"})
}

// driveService applies a drive at boot, as the units of an image would.
const driveService = `[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutSec=10min
EnvironmentFile=-/etc/environment
ExecStart=/usr/bin/coreos-cloudinit -from-configdrive=/media/drive.iso -convert-netconf=debian
`
