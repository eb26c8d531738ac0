//go:build linux

package process

import (
	"os"
	"os/user"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/strakeproject/strake/unit"
)

// host is what specifiers say about the machine and the user that the runner
// runs as.
type host struct {
	machineID, bootID, hostname   string
	user, uid, group, gid, home   string
	run, state, cache, log, confs string // base directories
}

func newHost(machineID, hostname string) host {
	h := host{machineID: machineID, hostname: hostname, uid: strconv.Itoa(os.Getuid()), gid: strconv.Itoa(os.Getgid())}
	if h.machineID == "" {
		id, _ := os.ReadFile("/etc/machine-id")
		h.machineID = strings.TrimSpace(string(id))
	}
	if h.hostname == "" {
		h.hostname, _ = os.Hostname()
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	h.bootID = strings.ReplaceAll(strings.TrimSpace(string(boot)), "-", "")
	h.user, h.group, h.home = h.uid, h.gid, "/"
	if u, err := user.LookupId(h.uid); err == nil {
		h.user, h.home = u.Username, u.HomeDir
	}
	if g, err := user.LookupGroupId(h.gid); err == nil {
		h.group = g.Name
	}
	h.run, h.state, h.cache, h.log, h.confs = "/run", "/var/lib", "/var/cache", "/var/log", "/etc"
	if h.uid != "0" {
		h.run = "/run/user/" + h.uid
		h.state, h.cache, h.confs = filepath.Join(h.home, ".local/state"), filepath.Join(h.home, ".cache"), filepath.Join(h.home, ".config")
		h.log = filepath.Join(h.state, "log")
	}
	return h
}

// expand replaces systemd's specifiers in s. One that it does not know stays as
// it is.
func (h host) expand(n unit.Name, s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if after == "" {
			return b.String() + "%"
		}
		text, known := h.specifier(n, after[0])
		if !known {
			text = "%" + after[:1]
		}
		b.WriteString(text)
		s = after[1:]
	}
}

func (h host) specifier(n unit.Name, letter byte) (text string, known bool) {
	switch letter {
	case '%':
		text = "%"
	case 'n':
		text = string(n)
	case 'N':
		text = n.Stem()
	case 'p':
		text = n.Prefix()
	case 'P':
		text = unescapeName(n.Prefix())
	case 'i':
		text = n.Instance()
	case 'I':
		text = unescapeName(n.Instance())
	case 'j':
		text = lastPart(n.Prefix())
	case 'J':
		text = unescapeName(lastPart(n.Prefix()))
	case 'f':
		text = path.Join("/", unescapeName(n.Instance()))
		if n.Instance() == "" {
			text = path.Join("/", unescapeName(n.Prefix()))
		}
	case 'H':
		text = h.hostname
	case 'l':
		text, _, _ = strings.Cut(h.hostname, ".")
	case 'm':
		text = h.machineID
	case 'b':
		text = h.bootID
	case 'u':
		text = h.user
	case 'U':
		text = h.uid
	case 'g':
		text = h.group
	case 'G':
		text = h.gid
	case 'h':
		text = h.home
	case 't':
		text = h.run
	case 'S':
		text = h.state
	case 'C':
		text = h.cache
	case 'L':
		text = h.log
	case 'E':
		text = h.confs
	case 'T':
		text = "/tmp"
	case 'V':
		text = "/var/tmp"
	default:
		return "", false
	}
	return text, true
}

// lastPart is what follows the last dash.
func lastPart(s string) string { return s[strings.LastIndexByte(s, '-')+1:] }

// unescapeName undoes systemd's escaping of names: "-" is a slash, \xHH a byte.
func unescapeName(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '-':
			b.WriteByte('/')
		case s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x':
			n, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
			if err != nil {
				b.WriteByte(s[i])
				continue
			}
			b.WriteByte(byte(n))
			i += 3
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
