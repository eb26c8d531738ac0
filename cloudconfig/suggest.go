package cloudconfig

import (
	"slices"

	"github.com/strakeproject/strake/unit"
)

// maxHints is for how many unknown keys a hint is looked for. Whoever has more of
// them reads no hints.
const maxHints = 100

// suggest returns what the author of an unknown key in the mapping at path may
// have meant; empty if there is no telling.
func (d *decoder) suggest(path, key string, fields []field) string {
	if d.hints++; d.hints > maxHints {
		return ""
	}
	var known []string
	for _, f := range fields {
		known = append(known, f.key)
	}
	meant := unit.Suggest(key, known)
	switch {
	case meant != "":
		return `did you mean "` + meant + `"?`
	case path == "" && lookup(coreosFields(&CoreOS{}), key) != nil:
		return "it belongs under coreos"
	case path != "" && lookup(configFields(&Config{}), key) != nil:
		return "it belongs at the top, not under " + path
	}
	return foreignKey(key)
}

// foreignKey says what to do in place of a key that other programs of the kind
// know and this one does not.
func foreignKey(key string) string {
	switch {
	case slices.Contains([]string{"runcmd", "bootcmd", "packages", "package_update", "package_upgrade", "mounts", "swap", "ntp"}, key):
		return "write a unit with a command instead"
	case key == "groups":
		return "groups are named by their users"
	case key == "ssh_import_id", key == "sudo", key == "lock_passwd":
		return "it is not supported"
	case key == "ca_certs":
		return "use write_files"
	}
	return ""
}
