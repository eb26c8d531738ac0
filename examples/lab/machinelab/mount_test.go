//go:build linux

package machinelab_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/strakeproject/strake/cloudconfig/configdrive"
	"github.com/strakeproject/strake/examples/lab/machinelab"
)

// isoDriver is who shows an ISO 9660 image as a directory: the kernel where it
// knows how, or else fuseiso, put where mount(8) looks for help with a type of
// file system.
type isoDriver struct {
	fstype  string // of what is mounted
	files   map[string]machinelab.File
	devices map[string]string
}

func findISODriver(t *testing.T) isoDriver {
	t.Helper()
	if err := machinelab.Available(); err != nil {
		t.Skip(err)
	}
	if known, err := os.ReadFile("/proc/filesystems"); err == nil && strings.Contains(string(known), "\tiso9660\n") {
		return isoDriver{fstype: "iso9660"}
	}
	fuseiso, err := exec.LookPath("fuseiso")
	if _, noDevice := os.Stat("/dev/fuse"); err != nil || noDevice != nil {
		t.Skip("this kernel knows no ISO 9660, and the program fuseiso or the device /dev/fuse is missing")
	}
	return isoDriver{
		fstype:  "fuse.fuseiso",
		files:   map[string]machinelab.File{"/usr/sbin/mount.iso9660": {Content: "#!/bin/sh\nexec " + fuseiso + ` "$@"` + "\n", Mode: 0o755}},
		devices: map[string]string{"/dev/fuse": "/dev/fuse"},
	}
}

// attach makes a disk of an image, read-only, and returns its device. It is gone
// when its last user is, and so it is when the test dies.
func attach(t *testing.T, image string) string {
	t.Helper()
	file, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("this machine has no loop devices")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		device, err := os.Open(fmt.Sprintf("/dev/loop%d", number))
		if err != nil {
			t.Fatal(err)
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{
			Fd: uint32(file.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR},
		})
		if err == nil {
			t.Cleanup(func() { _ = device.Close() })
			return device.Name()
		}
		_ = device.Close()
		if !errors.Is(err, unix.EBUSY) { // somebody else took it meanwhile
			t.Fatal(err)
		}
	}
}

// wantFiles compares files of a machine with what they shall hold.
func wantFiles(t *testing.T, m *machinelab.Machine, below string, files map[string]string) {
	t.Helper()
	names := slices.Sorted(maps.Keys(files))
	archive, err := m.Run(t.Context(), strings.Join(names, "\x00"), "tar", "--create", "--directory", below, "--null", "--files-from=-")
	if err != nil {
		t.Error(err) // and goes on with the files that are there
	}
	got := make(map[string]string)
	for r := tar.NewReader(strings.NewReader(archive)); ; {
		header, err := r.Next()
		if err != nil {
			break // the files that are missing now are told below
		}
		content, _ := io.ReadAll(r)
		got[header.Name] = string(content)
	}
	for _, name := range names {
		if content, ok := got[name]; !ok || content != files[name] {
			t.Errorf("%s holds %.200q (there: %v), want %.200q", filepath.Join(below, name), content, ok, files[name])
		}
	}
}

const mountedUserData = `#cloud-config
users:
- {name: core}
- {name: toor, gecos: Two Words, groups: [users], ssh-authorized-keys: [ssh-rsa BBBB toor@a]}
write_files:
- {path: /etc/motd, content: "from the drive\n"}
- {path: /etc/app/secret, permissions: 0600, owner: toor, content: aGVsbG8K, encoding: b64}
- {path: /etc/app/large, content: "%s"}
manage_etc_hosts: localhost
coreos:
  etcd2: {name: drive1}
  units:
  - {name: etcd2.service, command: start}
  - name: app.service
    command: start
    enable: true
    content: |
      [Service]
      ExecStart=/bin/sleep infinity
      [Install]
      WantedBy=multi-user.target
    drop-ins: [{name: 10-a.conf, content: "[Service]\nEnvironment=A=1\n"}]
`

// The machine has nothing of ours but the program and its units, which find the
// drive by its label, as they would on a hypervisor's machine. Others read the
// image: libblkid its label, the kernel or fuseiso its files.
func TestAMachineComesUpFromADriveThatOthersMount(t *testing.T) {
	t.Parallel()
	driver := findISODriver(t)
	program := buildCloudinit(t)
	large := strings.Repeat("0123456789abcdef", 1<<10) // several sectors
	userData := fmt.Sprintf(mountedUserData, large)
	drive := attach(t, makeDrive(t, program, userData, driveMetaData, driveInterfaces))

	files, _ := bootUnits(t)
	maps.Copy(files, driver.files)
	files["/usr/lib/systemd/system/etcd.service"], files["/usr/lib/systemd/system/etcd2.service"] = service(), service()
	// What the rule for devices does where somebody watches them.
	files["/etc/systemd/system/lab.target.d/drive.conf"] = machinelab.File{Content: "[Unit]\nWants=user-configdrive.service\nAfter=user-configdrive.service\n"}
	devices := map[string]string{"/dev/disk/by-label/config-2": drive}
	maps.Copy(devices, driver.devices)
	m := boot(t, machinelab.Config{
		Name: "mounted", Files: files, Devices: devices,
		Programs: map[string]string{"/usr/bin/coreos-cloudinit": program},
		Cmdline:  []string{"coreos.configdrive=1"}, // a container is no virtual machine
	})

	want(t, m, [][2]string{
		{"systemctl is-active media-configdrive.mount user-configdrive.service", "active\nactive"},
		{"findmnt -no FSTYPE /media/configdrive; findmnt -no OPTIONS /media/configdrive | grep -ow ro", driver.fstype + "\nro"},
		{"blkid -o value -s LABEL -s TYPE /dev/disk/by-label/config-2", "config-2\niso9660"},
		{"cd /media/configdrive && find . -mindepth 1 -printf '%p %M\\n' | sort", `./openstack dr-xr-xr-x
./openstack/content dr-xr-xr-x
./openstack/content/0000 -r--r--r--
./openstack/latest dr-xr-xr-x
./openstack/latest/meta_data.json -r--r--r--
./openstack/latest/user_data -r--r--r--`},
	}...)
	wantFiles(t, m, "/media/configdrive/openstack", map[string]string{"latest/user_data": userData, "content/0000": driveInterfaces})

	wantFiles(t, m, "/", map[string]string{
		"etc/hostname":   "drive1\n",
		"etc/hosts":      "127.0.0.1 localhost\n::1 localhost\n127.0.0.1 drive1\n",
		"etc/motd":       "from the drive\n",
		"etc/app/secret": "hello\n",
		"etc/app/large":  large,
		"run/systemd/system/etcd2.service.d/20-cloudinit.conf": "[Service]\nEnvironment=\"ETCD_NAME=drive1\"\n",
		"etc/systemd/system/app.service":                       "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
		"etc/systemd/system/app.service.d/10-a.conf":           "[Service]\nEnvironment=A=1\n",
		"home/core/.ssh/authorized_keys":                       "ssh-rsa AAAA core@a\n",
		"home/toor/.ssh/authorized_keys":                       "ssh-rsa BBBB toor@a\n",
	})
	want(t, m, [][2]string{
		{"stat -c '%n %a %U' /etc/motd /etc/app/*", "/etc/motd 644 root\n/etc/app/large 644 root\n/etc/app/secret 600 toor"},
		{"getent passwd toor | cut -d: -f5; id -nG toor", "Two Words\ntoor users"},
		{"systemctl is-active etcd2 app; systemctl is-enabled app; systemctl show -P Environment etcd2 app", "active\nactive\nenabled\nETCD_NAME=drive1\n\nA=1"},
	}...)
}

func TestOthersReadTheNamesAndFilesOfAnyDrive(t *testing.T) {
	t.Parallel()
	driver := findISODriver(t)
	files := map[string]string{
		"openstack/latest/user_data": "#cloud-config\n",
		"empty":                      "",
		"UPPER lower.and.more..dots": "names stay as they are",
		"same_name":                  "told apart", "same-name": "from its neighbour",
		"d1/d2/d3/d4/d5/d6/deep":          "eight levels",
		strings.Repeat("long", 37) + ".x": "150 letters",
		"sector":                          strings.Repeat("s", 2048),
		"more":                            strings.Repeat("m", 2049),
		"large":                           strings.Repeat("large", 1<<18),
	}
	for i := range 200 { // too many for one sector of a directory
		files[fmt.Sprintf("many/file number %d", i)] = fmt.Sprintf("%d\n", i)
	}
	onDrive := make(configdrive.Files)
	for name, content := range files {
		onDrive[name] = []byte(content)
	}
	var image bytes.Buffer
	if err := onDrive.WriteImage(&image); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "any.iso")
	if err := os.WriteFile(path, image.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	devices := map[string]string{"/dev/vdb": attach(t, path)}
	maps.Copy(devices, driver.devices)
	m := boot(t, machinelab.Config{Name: "names", Files: driver.files, Devices: devices})
	run(t, m, "mkdir /media/any && mount -o ro /dev/vdb /media/any")
	got := strings.Split(strings.TrimSpace(run(t, m, "cd /media/any && find . -type f -printf '%P\\n'")), "\n")
	slices.Sort(got)
	if want := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("it shows\n%q\nwant\n%q", got, want)
	}
	wantFiles(t, m, "/media/any", files)
}
