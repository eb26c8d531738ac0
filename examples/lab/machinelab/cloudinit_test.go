//go:build linux

package machinelab_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/systemd"
	"github.com/strakeproject/strake/examples/lab/machinelab"
)

// cloudinit is where the test binary stands in machines. Called by that name it
// applies the user-data of its input and prints the steps, each with its result.
const cloudinit = "/usr/bin/lab-cloudinit"

func runCloudinit(args []string) int {
	var o systemd.Options
	if args[0] == "impatient" {
		o.Wait = time.Millisecond
	}
	if err := applyInput(context.Background(), o); err != nil {
		fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", "\nerror: "))
	}
	return 0
}

func applyInput(ctx context.Context, o systemd.Options) error {
	var text bytes.Buffer
	if _, err := text.ReadFrom(bufio.NewReader(os.Stdin)); err != nil {
		return err
	}
	addresses := cloudconfig.Addresses{PrivateIPv4: netip.MustParseAddr("10.1.1.1"), PublicIPv4: netip.MustParseAddr("192.0.2.1")}
	data, err := cloudconfig.Read(text.Bytes(), addresses)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot("/")
	if err != nil {
		return err
	}
	defer root.Close()
	plan, err := cloudconfig.NewPlan(data.Config, root.FS(), cloudconfig.Options{Addresses: addresses, Scripts: data.Scripts})
	if err != nil {
		return err
	}
	manager, err := systemd.Dial(ctx, o)
	if err != nil {
		return err
	}
	defer manager.Close()
	return cloudconfig.Apply(ctx, plan, cloudconfig.Machine{
		Root: "/", Units: manager,
		Progress: func(r cloudconfig.Result) {
			fmt.Println(strings.TrimSuffix(r.Step.String()+": "+r.Detail, ": "))
		},
	})
}

// service is a unit that does nothing, with its environment to look at.
func service(lines ...string) machinelab.File {
	return machinelab.File{Content: "[Service]\nExecStart=/bin/sleep infinity\n" + strings.Join(lines, "\n") + "\n"}
}

// bootCoreOS boots a machine with stand-ins for what a CoreOS machine has.
func bootCoreOS(t *testing.T, name string) *machinelab.Machine {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := boot(t, machinelab.Config{
		Name: name,
		Files: map[string]machinelab.File{
			"/usr/lib/systemd/system/etcd.service":          service(),
			"/usr/lib/systemd/system/etcd2.service":         service(),
			"/usr/lib/systemd/system/fleet.service":         service(),
			"/usr/lib/systemd/system/docker.service":        service(),
			"/usr/lib/systemd/system/flanneld.service":      service("ExecStartPre=/bin/true"),
			"/usr/lib/systemd/system/locksmithd.service":    service(),
			"/usr/lib/systemd/system/update-engine.service": service(),
			"/usr/share/coreos/update.conf":                 {Content: "SERVER=https://update.example\nGROUP=stable\n"},
			"/usr/bin/etcdctl":                              {Content: "#!/bin/sh\nexit 1\n", Mode: 0o755},
		},
		Programs: map[string]string{cloudinit: program},
	})
	run(t, m, "useradd --create-home core && groupadd --force sudo")
	return m
}

func apply(t *testing.T, m *machinelab.Machine, userData string) string {
	t.Helper()
	out, err := m.Run(t.Context(), userData, cloudinit, "apply")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// want compares what shell commands print in a machine.
func want(t *testing.T, m *machinelab.Machine, commands ...[2]string) {
	t.Helper()
	for _, c := range commands {
		if got := strings.TrimSpace(run(t, m, c[0]+"; true")); got != c[1] {
			t.Errorf("%s: %s\ngot\n%s\nwant\n%s", t.Name(), c[0], got, c[1])
		}
	}
}

const everything = `#cloud-config
hostname: web1
ssh_authorized_keys: [ssh-rsa AAAA core@a]
users:
- name: toor
  passwd: $1$53YHkhSo$bvjpI.GPhDuC8pUfqAlrT.
  gecos: Two Words
  groups: [sudo, docker-users]
  shell: /bin/sh
  ssh-authorized-keys: [ssh-rsa BBBB toor@a]
- {name: core, passwd: $1$abcdefgh$bvjpI.GPhDuC8pUfqAlrT.}
write_files:
- path: /etc/motd
  content: |
    from $private_ipv4
- {path: /home/toor/secret, permissions: 0600, owner: "toor:sudo", content: aGVsbG8K, encoding: b64}
manage_etc_hosts: localhost
coreos:
  etcd2: {name: web1, advertise-client-urls: "http://$private_ipv4:2379"}
  fleet: {metadata: disk=ssd}
  flannel: {interface: eth1}
  locksmith: {window-start: "Thu 03:00", window-length: 1h}
  update: {reboot-strategy: etcd-lock, group: beta}
  oem: {id: lab}
  units:
  - {name: etcd2.service, command: start}
  - {name: fleet.service, command: start, runtime: true}
  - name: app.service
    enable: true
    command: start
    content: |
      [Service]
      ExecStart=/bin/sleep infinity
      [Install]
      WantedBy=multi-user.target
    drop-ins: [{name: 10-a.conf, content: "[Service]\nEnvironment=A=1\n"}]
  - {name: bad.service, command: start, content: "[Service]\nType=oneshot\nExecStart=/bin/false\n"}
  - {name: lab.network, runtime: true, content: "[Match]\nName=eth7\n"}
  - {name: docker.service, mask: true, runtime: true}
`

func TestEverythingIsAppliedAndASecondTimeNothing(t *testing.T) {
	t.Parallel()
	m := bootCoreOS(t, "everything")
	out := apply(t, m, everything)
	if strings.Contains(out, "error") || !strings.Contains(out, `Calling unit command "start" on "bad.service": failed`) {
		t.Fatalf("the first run says\n%s", out)
	}
	want(t, m, [][2]string{
		{"hostname; cat /etc/hostname", "web1\nweb1"},
		{"cat /etc/hosts", "127.0.0.1 localhost\n::1 localhost\n127.0.0.1 web1"},
		{"cat /etc/motd; stat -c '%a %U:%G' /etc/motd", "from 10.1.1.1\n644 root:root"},
		{"cat /home/toor/secret; stat -c '%a %U:%G' /home/toor/secret", "hello\n600 toor:sudo"},
		{"getent passwd toor | cut -d: -f5-", "Two Words:/home/toor:/bin/sh"},
		{"id -nG toor", "toor sudo docker-users"},
		{"getent shadow toor core | cut -d: -f2", "$1$53YHkhSo$bvjpI.GPhDuC8pUfqAlrT.\n$1$abcdefgh$bvjpI.GPhDuC8pUfqAlrT."},
		{"cat /home/toor/.ssh/authorized_keys ~core/.ssh/authorized_keys", "ssh-rsa BBBB toor@a\nssh-rsa AAAA core@a"},
		{"stat -c '%a %U' ~toor/.ssh ~toor/.ssh/authorized_keys ~toor/.ssh/authorized_keys.d/coreos-cloudinit", "700 toor\n600 toor\n600 toor"},
		{"cat /etc/coreos/update.conf", "SERVER=https://update.example\nGROUP=beta\nREBOOT_STRATEGY=etcd-lock"},
		{"grep COREOS /etc/environment", "COREOS_PRIVATE_IPV4=10.1.1.1\nCOREOS_PUBLIC_IPV4=192.0.2.1"},
		{"cat /run/flannel/options.env", "FLANNELD_IFACE=eth1"},
		{"head -1 /etc/oem-release", "ID=lab"},
		{
			"systemctl is-active etcd2 fleet app locksmithd update-engine systemd-networkd bad docker",
			"active\nactive\nactive\nactive\nactive\nactive\nfailed\ninactive",
		},
		{"systemctl is-enabled app docker", "enabled\nmasked-runtime"},
		{"systemctl show -P Environment etcd2 app locksmithd", "ETCD_ADVERTISE_CLIENT_URLS=http://10.1.1.1:2379 ETCD_NAME=web1\n\nA=1\n\n" +
			"\"REBOOT_WINDOW_START=Thu 03:00\" REBOOT_WINDOW_LENGTH=1h"},
	}...)

	const snapshot = "find /etc /home /run/systemd/system /run/systemd/network /run/flannel /var/lib/coreos-cloudinit -type f | sort | xargs stat -c '%n %i %y %a %U'; " +
		"systemctl show -P MainPID -P ActiveEnterTimestampMonotonic etcd2 fleet app locksmithd update-engine systemd-networkd"
	before := run(t, m, snapshot)
	out = apply(t, m, everything)
	if want := "Calling unit command \"start\" on \"etcd2.service\": runs already\n" +
		"Calling unit command \"start\" on \"fleet.service\": runs already\n" +
		"Calling unit command \"start\" on \"app.service\": runs already\n" +
		"Calling unit command \"start\" on \"bad.service\": failed\n"; out != want {
		t.Errorf("the second run says\n%swant\n%s", out, want)
	}
	if after := run(t, m, snapshot); after != before {
		t.Errorf("the second run changed\n%s\nto\n%s", before, after)
	}

	// Something is new, something else, something gone.
	out = apply(t, m, `#cloud-config
hostname: web2
write_files:
- {path: /etc/motd, content: "changed\n"}
coreos:
  etcd2: {name: web2}
  update: {reboot-strategy: off}
  units:
  - {name: etcd2.service, command: start}
  - {name: nobody.service, command: start}
  - {name: fleet.service, command: restart}
`)
	if !strings.Contains(out, "error: Calling unit command \"start\" on \"nobody.service\": Unit nobody.service not found.\n") ||
		strings.Count(out, "error") != 1 {
		t.Errorf("the third run says\n%s", out)
	}
	want(t, m, [][2]string{
		{"hostname; cat /etc/motd", "web2\nchanged"},
		{"systemctl is-active etcd2 fleet app locksmithd", "active\nactive\ninactive\ninactive"},
		{"tr '\\0' '\\n' </proc/$(systemctl show -P MainPID etcd2)/environ | grep ETCD", "ETCD_NAME=web2"},
		{"tr '\\0' '\\n' </proc/$(systemctl show -P MainPID fleet)/environ | grep FLEET", ""},
		{"readlink /run/systemd/system/locksmithd.service; ls /run/systemd/system/docker.service", "/dev/null"},
		{"ls -d /etc/systemd/system/app.service* /etc/systemd/system/*/app.service /run/flannel/options.env /home/toor/secret /etc/oem-release", ""},
		{"cat ~core/.ssh/authorized_keys; getent shadow toor | cut -d: -f2,8", "!$1$53YHkhSo$bvjpI.GPhDuC8pUfqAlrT.:1"},
	}...)

	// And back again.
	if out = apply(t, m, everything); strings.Contains(out, "error") {
		t.Errorf("the fourth run says\n%s", out)
	}
	want(t, m, [][2]string{
		{"getent shadow toor | cut -d: -f2,8; cat ~toor/.ssh/authorized_keys", "$1$53YHkhSo$bvjpI.GPhDuC8pUfqAlrT.:\nssh-rsa BBBB toor@a"},
		{"systemctl is-active etcd2 app locksmithd; systemctl is-enabled app", "active\nactive\nactive\nenabled"},
		{"find /etc /run /home /var/lib/coreos-cloudinit -name '.cloudinit-temp*'", ""},
	}...)
}

func TestPublishedConfigurationsAreApplied(t *testing.T) {
	t.Parallel()
	m := bootCoreOS(t, "published")
	for _, c := range []struct {
		file  string
		wants [][2]string
	}{
		{"vmware-static-network.yaml", [][2]string{
			{"hostname; id -nG toor", "coreos\ntoor"},
			{"tail -1 /etc/systemd/network/static.network", "DNS=192.168.249.1"},
			{"systemctl is-active etcd fleet docker systemd-networkd", "active\nactive\nactive\nactive"},
		}},
		{"slides-resolv-conf.yaml", [][2]string{
			{"cat /etc/resolv.conf", "nameserver 192.0.2.2\nnameserver 192.0.2.3"},
			{"getent shadow core | cut -d: -f2", "$1$allJZawX$00S5T756I5PGdQga5qhqv1"},
			{"systemctl is-active etcd; ls /etc/systemd/network/static.network", "active"},
		}},
		{"slides-flannel.yaml", [][2]string{
			{"tail -1 /etc/systemd/system/flanneld.service.d/50-network-config.conf", `'{ "Network": "10.1.0.0/16" }'`},
			{"systemctl is-active flanneld", "activating"}, // there is no etcd to ask
		}},
		{"virtualbox-cluster.yaml", [][2]string{
			{"hostname; id -nG user", "h1\nuser sudo docker"},
			{"cat ~user/.ssh/authorized_keys ~core/.ssh/authorized_keys", "ssh-rsa AAAA a@b\nssh-rsa AAAA a@b"},
			{"grep -c Environment /run/systemd/system/etcd2.service.d/20-cloudinit.conf", "5"},
			{"tail -2 /run/systemd/network/static.network | head -1; systemctl is-active etcd2 fleet", "Address=10.0.0.5/24\nactive\nactive"},
		}},
	} {
		text, err := os.ReadFile(filepath.Join("../../../cloudconfig/testdata/configs", c.file))
		if err != nil {
			t.Fatal(err)
		}
		filled := strings.NewReplacer("<HOSTNAME>", "h1", "<SSH_KEY>", "ssh-rsa AAAA a@b", "<IP>", "10.0.0.5", "<TOKEN>", "abc").Replace(string(text))
		run(t, m, "sed -i 's,^ExecStart=.*,&\\nRestart=on-failure\\nRestartSec=100,' /usr/lib/systemd/system/flanneld.service; systemctl daemon-reload")
		if out := apply(t, m, filled); strings.Contains(out, "error") {
			t.Errorf("%s: the run says\n%s", c.file, out)
		}
		want(t, m, c.wants...)
	}
}

func TestEveryKindOfUserDataIsApplied(t *testing.T) {
	t.Parallel()
	m := bootCoreOS(t, "kinds")
	run(t, m, "mkfifo /run/told")
	tell := func(word string) string { return "#!/bin/sh\necho " + word + " $private_ipv4 >/run/told\n" }
	config := func(word string) string {
		return "#cloud-config\nwrite_files: [{path: /etc/word, content: " + word + "}]\n"
	}
	for _, c := range []struct{ kind, text, command, want string }{
		{"cloud-config", config("plain"), "cat /etc/word", "plain"},
		{"gzip", zip(t, config("zipped")), "cat /etc/word", "zipped"},
		{"base64", base64.StdEncoding.EncodeToString([]byte(config("encoded"))), "cat /etc/word", "encoded"},
		{"script", tell("script"), "cat /run/told", "script 10.1.1.1"},
		{"multipart", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: text/x-shellscript\n\n" + tell("part") +
			"\n--b\nContent-Type: text/cloud-config\n\n" + config("parted") + "\n--b--\n", "cat /run/told /etc/word", "part 10.1.1.1\nparted"},
		{"ignition", `{"ignition": {"version": "3.0.0"}}`, "ls /etc/word", ""},
		{"empty", "", "ls /etc/word", ""},
		{"unknown", "hello\n", "ls /etc/word", ""},
	} {
		out := apply(t, m, c.text)
		if strings.Contains(out, "error") != (c.kind == "unknown") {
			t.Errorf("%s: the run says\n%s", c.kind, out)
		}
		want(t, m, [2]string{c.command, c.want})
	}
}

// A unit that is ordered after the one that applies can start only when that has
// ended: to wait for it is to wait for oneself.
func TestAUnitThatComesAfterTheConfigurationIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	m := bootCoreOS(t, "impatient")
	out, err := m.Run(t.Context(), `#cloud-config
coreos:
  units:
  - name: late.service
    command: start
    content: |
      [Unit]
      After=apply.service
      [Service]
      ExecStart=/bin/sleep infinity
`, "systemd-run", "--quiet", "--unit=apply.service", "--property=Type=oneshot", "--pipe", "--wait", cloudinit, "impatient")
	if want := `Calling unit command "start" on "late.service": waiting`; err != nil || !strings.Contains(out, want) {
		t.Errorf("the run says (%v)\n%s", err, out)
	}
	want(t, m, [2]string{"systemctl start late; systemctl is-active late", "active"})
}

func zip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
