package configdrive_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/cloudconfig/configdrive"
)

func image(t testing.TB, files configdrive.Files) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := files.WriteImage(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestADriveHasTheLayoutOfOpenStack(t *testing.T) {
	dir := t.TempDir()
	d := configdrive.Drive{UserData: []byte("#cloud-config\n"), Hostname: "a", SSHKeys: []string{"ssh-rsa A", "ssh-rsa B"}, Network: []byte("auto lo\n")}
	if err := d.Files().WriteDir(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"openstack/latest/user_data": "#cloud-config\n",
		"openstack/content/0000":     "auto lo\n",
		"openstack/latest/meta_data.json": `{
  "hostname": "a",
  "public_keys": {
    "key-0000": "ssh-rsa A",
    "key-0001": "ssh-rsa B"
  },
  "network_config": {
    "content_path": "/content/0000"
  }
}
`,
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
		}
	}
}

func TestTheSameFilesMakeTheSameImage(t *testing.T) {
	files := configdrive.Drive{UserData: []byte("#!/bin/sh\n"), Hostname: "a"}.Files()
	first := image(t, files)
	if !bytes.Equal(first, image(t, maps.Clone(files))) {
		t.Error("two images of the same files differ")
	}
	if len(first)%2048 != 0 || string(first[0x8001:0x8006]) != "CD001" || string(first[0x8028:0x8030]) != "config-2" {
		t.Errorf("%d bytes with the label %q, want whole sectors labelled config-2", len(first), first[0x8028:0x8048])
	}
}

func TestAnImageGivesBackWhatWentIn(t *testing.T) {
	name := rapid.StringMatching(`[a-zA-Z0-9_.-]{1,40}`).Filter(func(s string) bool { return s != "." && s != ".." })
	rapid.Check(t, func(t *rapid.T) {
		files := make(configdrive.Files)
		for range rapid.IntRange(0, 60).Draw(t, "files") {
			path := strings.Join(rapid.SliceOfN(name, 1, 4).Draw(t, "path"), "/")
			files[path] = rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "content")
		}
		var b bytes.Buffer
		if err := files.WriteImage(&b); errors.Is(err, configdrive.ErrFiles) {
			return // a file where another path has a directory
		} else if err != nil {
			t.Fatal(err)
		}
		got, err := configdrive.ReadImage(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if !maps.EqualFunc(got, files, bytes.Equal) {
			t.Fatalf("got back %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(files)))
		}
	})
}

func TestFilesThatCannotBeOnADriveAreRefused(t *testing.T) {
	for _, paths := range [][]string{
		{"../etc/passwd"},
		{"/etc/passwd"},
		{"."},
		{""},
		{"a", "a/b"},
		{"a/b/c/d/e/f/g/h/i"},
		{strings.Repeat("n", 151)},
	} {
		files := make(configdrive.Files)
		for _, path := range paths {
			files[path] = nil
		}
		if err := files.WriteImage(new(bytes.Buffer)); !errors.Is(err, configdrive.ErrFiles) {
			t.Errorf("%q: got error %v, want ErrFiles", paths, err)
		}
	}
}

func TestWhatIsNoConfigDriveIsRefused(t *testing.T) {
	good := image(t, configdrive.Files{"a": []byte("a")})
	change := func(at int, text string) []byte {
		b := slices.Clone(good)
		copy(b[at:], text)
		return b
	}
	for what, data := range map[string][]byte{
		"nothing":       nil,
		"zeros":         make([]byte, 1<<16),
		"another label": change(0x8028, "cidata  "),
		"half":          good[:len(good)-2048],
	} {
		if files, err := configdrive.ReadImage(bytes.NewReader(data)); !errors.Is(err, configdrive.ErrImage) {
			t.Errorf("%s: got %v and error %v, want ErrImage", what, files, err)
		}
	}
}

func FuzzReadImage(f *testing.F) {
	f.Add(image(f, configdrive.Drive{UserData: []byte("#cloud-config\n")}.Files())[0x8000:])
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append(make([]byte, 0x8000), data...)
		files, err := configdrive.ReadImage(bytes.NewReader(data))
		if err != nil && !errors.Is(err, configdrive.ErrImage) {
			t.Fatalf("got error %v, want ErrImage", err)
		}
		for name := range files {
			if !filepath.IsLocal(name) {
				t.Fatalf("got the name %q", name)
			}
		}
	})
}

func Example() {
	drive := configdrive.Drive{UserData: []byte("#cloud-config\nhostname: core1\n"), Hostname: "core1"}
	var image bytes.Buffer // in a program, a file core1.iso
	if err := drive.Files().WriteImage(&image); err != nil {
		fmt.Println(err)
		return
	}
	files, err := configdrive.ReadImage(bytes.NewReader(image.Bytes()))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Println(name)
	}
	fmt.Printf("%s", files["openstack/latest/user_data"])
	// Output:
	// openstack/latest/meta_data.json
	// openstack/latest/user_data
	// #cloud-config
	// hostname: core1
}
