package cloudconfig

import (
	"slices"
	"strings"
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
	best, distance := "", 3
	for _, f := range fields {
		if n := edits(key, f.key); n < distance && n*3 <= len(f.key) {
			best, distance = f.key, n
		}
	}
	switch {
	case best != "":
		return `did you mean "` + best + `"?`
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

// edits counts how many letters must be put in, taken out, changed or swapped
// with the next to make b of a.
func edits(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	const most = 40
	if len(a) > most || len(b) > most {
		return most
	}
	var before, last, now [most + 1]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		now[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			now[j+1] = min(last[j]+cost, last[j+1]+1, now[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				now[j+1] = min(now[j+1], before[j-1]+1)
			}
		}
		before, last = last, now
	}
	return last[len(b)]
}
