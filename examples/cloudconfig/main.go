package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/configdrive"
	"github.com/strakeproject/strake/cloudconfig/datasource"
)

func main() {
	out := flag.String("out", "", "keep what is made in this `directory`")
	flag.Parse()
	if err := run(context.Background(), *out, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cloudconfig:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, w io.Writer) error {
	if out == "" {
		dir, err := os.MkdirTemp("", "cloudconfig-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		out = dir
	}
	fmt.Fprintln(w, "== validate")
	validate(w, mistaken)
	validate(w, template)

	fmt.Fprintln(w, "== three drives")
	var drives []string
	for i := range 3 {
		drive, err := makeDrive(out, fmt.Sprintf("core%d", i+1), fmt.Sprintf("192.168.15.%d", 101+i))
		if err != nil {
			return err
		}
		fmt.Fprintln(w, filepath.Base(drive))
		drives = append(drives, drive)
	}

	for _, title := range []string{"apply", "apply again"} {
		fmt.Fprintln(w, "==", title)
		if err := apply(ctx, drives[0], out, w); err != nil {
			return err
		}
	}
	return nil
}

// mistaken is a configuration as people write them.
const mistaken = `#cloud-config
hostnme: core1
coreos:
  update:
    reboot-strategy: sometimes
  units:
    - name: etcd2.service
      command: launch
`

// template is the configuration of a cluster; NAME and IP stand for each
// machine's own.
const template = `#cloud-config
hostname: NAME
write_files:
  - path: /etc/motd
    content: |
      This is NAME.
coreos:
  etcd2:
    name: NAME
    advertise-client-urls: http://IP:2379
    initial-advertise-peer-urls: http://IP:2380
    listen-client-urls: http://0.0.0.0:2379
    listen-peer-urls: http://IP:2380
  fleet:
    public-ip: IP
  units:
    - name: etcd2.service
      command: start
    - name: fleet.service
      command: start
`

// validate prints what is odd about a configuration.
func validate(w io.Writer, text string) {
	report := cloudconfig.Validate([]byte(text))
	if len(report) == 0 {
		fmt.Fprintln(w, "nothing to remark")
	}
	for _, entry := range report {
		fmt.Fprintln(w, entry)
	}
}

// makeDrive writes the image of a config drive for one machine.
func makeDrive(dir, name, ip string) (string, error) {
	text := strings.NewReplacer("NAME", name, "IP", ip).Replace(template)
	drive := configdrive.Drive{UserData: []byte(text), Hostname: name}
	var image bytes.Buffer
	if err := drive.Files().WriteImage(&image); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+".iso")
	return path, os.WriteFile(path, image.Bytes(), 0o644)
}

// apply brings an image in a directory to what a drive says, as the machine would
// itself when it boots with both.
func apply(ctx context.Context, drive, dir string, w io.Writer) error {
	image, err := os.Open(drive)
	if err != nil {
		return err
	}
	defer image.Close()
	files, err := configdrive.ReadImage(image)
	if err != nil {
		return err
	}
	mounted, root := filepath.Join(dir, "mounted"), filepath.Join(dir, "root")
	if err := files.WriteDir(mounted); err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	source := datasource.ConfigDrive(mounted)
	data, err := source.UserData(ctx)
	if err != nil {
		return err
	}
	meta, err := source.Metadata(ctx)
	if err != nil {
		return err
	}
	user, err := cloudconfig.Read(data, meta.Addresses)
	if err != nil {
		return err
	}
	tree, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer tree.Close()
	plan, err := cloudconfig.NewPlan(cloudconfig.Merge(user.Config, meta.Config()), tree.FS(), cloudconfig.Options{Image: true})
	if err != nil {
		return err
	}
	if len(plan.Steps) == 0 {
		fmt.Fprintln(w, "nothing to do")
	}
	return cloudconfig.Apply(ctx, plan, cloudconfig.Machine{Root: root, Progress: func(r cloudconfig.Result) {
		fmt.Fprintln(w, r.Step)
	}})
}
