//go:build linux

package cloudconfig_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/strakeproject/strake/cloudconfig"
)

// The system's own programs make the users of an image.
func TestUsersOfAnImageAreMadeByTheSystemsPrograms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create users, in a directory")
	}
	for _, program := range []string{"useradd", "usermod", "groupadd", "chpasswd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\ncore:x:500:500::/home/core:/bin/sh\n",
		"etc/group":  "root:x:0:\ncore:x:500:\n",
		"etc/shadow": "root:*:1::::::\ncore:*:1::::::\n",
		"home/x":     "",
	} {
		putFile(t, filepath.Join(dir, name), text, 0o644)
	}
	if err := os.MkdirAll(filepath.Join(dir, "home/core"), 0o755); err != nil {
		t.Fatal(err)
	}
	apply := func(text string) *cloudconfig.Plan {
		t.Helper()
		config, err := cloudconfig.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		plan, err := cloudconfig.NewPlan(config, root.FS(), cloudconfig.Options{Image: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := cloudconfig.Apply(t.Context(), plan, cloudconfig.Machine{Root: dir}); err != nil {
			t.Fatal(err)
		}
		return plan
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const config = `#cloud-config
ssh_authorized_keys: [ssh-rsa AAAA core@a]
users:
- {name: core, passwd: $1$coreabc}
- {name: toor, passwd: $1$toorabc, gecos: Two Words, groups: [docker, wheel], shell: /bin/sh, ssh_authorized_keys: [ssh-rsa BBBB toor@a]}
write_files: [{path: /home/toor/a, owner: "toor:docker"}]
`
	apply(config)
	if plan := apply(config); len(plan.Steps) > 0 {
		t.Errorf("a second plan has steps:\n%v", plan)
	}
	if got := read("etc/passwd"); !strings.Contains(got, ":Two Words:/home/toor:/bin/sh\n") {
		t.Errorf("etc/passwd is\n%s", got)
	}
	if got := read("etc/shadow"); !strings.Contains(got, "core:$1$coreabc:") || !strings.Contains(got, "toor:$1$toorabc:") {
		t.Errorf("etc/shadow is\n%s", got)
	}
	if got := read("etc/group"); !strings.Contains(got, "docker:x:") || strings.Count(got, ":toor\n") != 2 {
		t.Errorf("etc/group is\n%s", got)
	}
	if got := read("home/toor/.ssh/authorized_keys"); got != "ssh-rsa BBBB toor@a\n" {
		t.Errorf("toor's keys are %q", got)
	}
	apply("#cloud-config\n")
	if got := read("etc/shadow"); !strings.Contains(got, "toor:!$1$toorabc:") {
		t.Errorf("after the user is gone, etc/shadow is\n%s", got)
	}
	if plan := apply("#cloud-config\nusers: [{name: toor}]\n"); !strings.Contains(plan.String(), "usermod --expiredate") {
		t.Errorf("the user comes back by\n%v", plan)
	}
}

func TestKeysAreImported(t *testing.T) {
	dir := t.TempDir()
	putFile(t, filepath.Join(dir, "etc/passwd"), fmt.Sprintf("core:x:%d:%d::/home/core:/bin/sh\n", os.Getuid(), os.Getgid()), 0o644)
	if err := os.MkdirAll(filepath.Join(dir, "home/core"), 0o755); err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{
		"https://api.github.com/users/octocat/keys": `[{"id": 1, "key": "ssh-rsa AAAA"}, {"key": "ssh-rsa BBBB"}]`,
		"https://keys.example/":                     `[{"key": "ssh-rsa CCCC c"}]`,
	}
	config := &cloudconfig.Config{Users: []cloudconfig.User{{
		Name: "core", SSHImportGithubUsers: []string{"octocat", "nobody"}, SSHImportURL: "https://keys.example/",
	}}}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for range 2 {
		plan, err := cloudconfig.NewPlan(config, root.FS(), cloudconfig.Options{Image: true})
		if err != nil {
			t.Fatal(err)
		}
		err = cloudconfig.Apply(t.Context(), plan, cloudconfig.Machine{
			Root: dir,
			Fetch: func(_ context.Context, url string) ([]byte, error) {
				if page, ok := pages[url]; ok {
					return []byte(page), nil
				}
				return nil, errors.New("404")
			},
		})
		if err == nil || strings.Contains(err.Error(), "octocat") || !strings.Contains(err.Error(), "users/nobody/keys: 404") {
			t.Errorf("got error %v, want one about nobody", err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "home/core/.ssh/authorized_keys"))
		if want := "ssh-rsa CCCC c\nssh-rsa AAAA\nssh-rsa BBBB\n"; err != nil || string(got) != want {
			t.Errorf("the keys are %q (%v), want %q", got, err, want)
		}
	}
}

func TestAPipeInPlaceOfKeysHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	putFile(t, filepath.Join(dir, "etc/passwd"), fmt.Sprintf("core:x:%d:%d::/home/core:/bin/sh\n", os.Getuid(), os.Getgid()), 0o644)
	ssh := filepath.Join(dir, "home/core/.ssh")
	if err := os.MkdirAll(filepath.Join(ssh, "authorized_keys.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"authorized_keys", "authorized_keys.d/coreos-cloudinit", "authorized_keys.d/other"} {
		if err := syscall.Mkfifo(filepath.Join(ssh, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	config := &cloudconfig.Config{SSHAuthorizedKeys: []string{"ssh-rsa AAAA a"}}
	plan, err := cloudconfig.NewPlan(config, root.FS(), cloudconfig.Options{Image: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := cloudconfig.Apply(t.Context(), plan, cloudconfig.Machine{Root: dir}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(ssh, "authorized_keys"))
	if want := "ssh-rsa AAAA a\n"; err != nil || string(got) != want {
		t.Errorf("the keys are %q (%v), want %q", got, err, want)
	}
}

func TestAPlanIsMadeOfAnyFileSystem(t *testing.T) {
	config, err := cloudconfig.Parse([]byte("#cloud-config\nhostname: a\ncoreos: {update: {group: beta}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{
		"etc/hostname":           {Data: []byte("a\n")},
		"etc/coreos/update.conf": {Data: []byte("GROUP=beta\n"), Mode: 0o644},
	}
	plan, err := cloudconfig.NewPlan(config, files, cloudconfig.Options{Image: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := plan.String(), "Writing file to \"/etc/hostname\"\n  --- /etc/hostname\t0000\n  +++ /etc/hostname\t0644\n"; got != want {
		t.Errorf("the plan is\n%swant\n%s", got, want)
	}
	files["var/lib/coreos-cloudinit/state/default.json"] = &fstest.MapFile{Data: []byte(`{"version": 2}`)}
	if _, err = cloudconfig.NewPlan(config, files, cloudconfig.Options{}); err == nil || !strings.Contains(err.Error(), "default.json: version 2") {
		t.Errorf("got error %v for a record of another version", err)
	}
}

func TestApplyWantsToKnowWhereTo(t *testing.T) {
	plan, err := cloudconfig.NewPlan(&cloudconfig.Config{}, os.DirFS(t.TempDir()), cloudconfig.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := cloudconfig.Apply(t.Context(), plan, cloudconfig.Machine{}); !errors.Is(err, cloudconfig.ErrNoRoot) {
		t.Errorf("got error %v, want %v", err, cloudconfig.ErrNoRoot)
	}
	if err := cloudconfig.Apply(t.Context(), plan, cloudconfig.Machine{Root: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want that the directory does not exist", err)
	}
}
