package configdrive

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Label is the name of a volume that machines take for a config drive.
const Label = "config-2"

// Drive is what a machine is told. The zero value tells nothing.
type Drive struct {
	// UserData goes onto the drive as it is.
	UserData []byte
	// Hostname is the machine's name, if the platform gives it one.
	Hostname string
	// SSHKeys are for the user core.
	SSHKeys []string
	// Network is a description in the format of /etc/network/interfaces; none if
	// empty.
	Network []byte
}

// Files are the files of a drive by their paths, relative and with slashes.
type Files map[string][]byte

// The paths on a drive.
const (
	userDataPath = "openstack/latest/user_data"
	metaDataPath = "openstack/latest/meta_data.json"
	networkPath  = "openstack/content/0000"
)

// metaData is the document at metaDataPath.
type metaData struct {
	Hostname   string            `json:"hostname,omitempty"`
	PublicKeys map[string]string `json:"public_keys,omitempty"`
	Network    *networkConfig    `json:"network_config,omitempty"`
}

type networkConfig struct {
	ContentPath string `json:"content_path"` // below openstack/
}

// Files returns the files of the drive.
func (d Drive) Files() Files {
	m := metaData{Hostname: d.Hostname}
	for i, key := range d.SSHKeys {
		if m.PublicKeys == nil {
			m.PublicKeys = make(map[string]string)
		}
		m.PublicKeys[fmt.Sprintf("key-%04d", i)] = key // machines sort by name
	}
	files := Files{userDataPath: d.UserData}
	if len(d.Network) > 0 {
		files[networkPath] = d.Network
		m.Network = &networkConfig{"/content/0000"}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic("configdrive: texts do not become JSON: " + err.Error())
	}
	files[metaDataPath] = append(text, '\n')
	return files
}

// WriteDir writes the files below a directory, which it makes. Files of other
// names that are there stay.
func (f Files) WriteDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range f.sorted() {
		name := filepath.FromSlash(name)
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(name, f[filepath.ToSlash(name)], 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (f Files) sorted() []string { return slices.Sorted(maps.Keys(f)) }

// check looks whether the paths can all be files of one drive.
func (f Files) check() error {
	for name := range f {
		if !fs.ValidPath(name) || name == "." {
			return fmt.Errorf("%w: %q is no path on a drive", ErrFiles, name)
		}
		if strings.Count(name, "/") >= maxDepth {
			return fmt.Errorf("%w: %q is nested too deep", ErrFiles, name)
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := f[dir]; ok {
				return fmt.Errorf("%w: %q is a file and a directory", ErrFiles, dir)
			}
		}
	}
	return nil
}
