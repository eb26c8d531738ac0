package cloudconfig

import (
	"slices"
	"strings"
)

// Environment is the options of one service, in the order of the service's
// list of options, whatever the order in the text. Options left at their zero
// value (empty, 0, false) are not in it.
type Environment []Variable

// Variable is one environment variable.
type Variable struct {
	Name  string // such as ETCD_DISCOVERY
	Value string
}

// Lookup returns the value of a variable; empty if it is not set.
func (e Environment) Lookup(name string) string {
	i := slices.IndexFunc(e, func(v Variable) bool { return v.Name == name })
	if i < 0 {
		return ""
	}
	return e[i].Value
}

// Dropins returns the files that hand the services their options: a systemd
// drop-in for each of etcd, etcd2, fleet and locksmith, and an environment
// file for flannel. A service without options has none.
//
// Values go into a drop-in as they are, so that a %H in them is expanded by
// systemd.
func (c *Config) Dropins() []File {
	var files []File
	for _, s := range []struct {
		unit string
		env  Environment
	}{
		{"etcd.service", c.CoreOS.Etcd},
		{"etcd2.service", c.CoreOS.Etcd2},
		{"fleet.service", c.CoreOS.Fleet},
		{"locksmithd.service", c.CoreOS.Locksmith},
	} {
		if len(s.env) > 0 {
			files = append(files, File{
				Path:    "/run/systemd/system/" + s.unit + ".d/20-cloudinit.conf",
				Content: s.env.dropin(),
				Mode:    defaultMode,
			})
		}
	}
	if env := c.CoreOS.Flannel; len(env) > 0 {
		files = append(files, File{Path: "/run/flannel/options.env", Content: env.file(), Mode: defaultMode})
	}
	return files
}

// dropin is the text of a systemd drop-in that sets the variables.
func (e Environment) dropin() string {
	var b strings.Builder
	b.WriteString("[Service]\n")
	for _, v := range e {
		b.WriteString(`Environment="` + v.Name + "=" + v.Value + "\"\n")
	}
	return b.String()
}

// file is the text of an environment file; the original leaves out the final
// newline.
func (e Environment) file() string {
	var lines []string
	for _, v := range e {
		lines = append(lines, v.Name+"="+v.Value)
	}
	return strings.Join(lines, "\n")
}
