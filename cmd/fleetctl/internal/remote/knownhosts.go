package remote

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// KnownHosts is a file of hosts and their keys, lines in OpenSSH's format. It is
// read each time, and appended to.
type KnownHosts struct {
	// Path is the file; it need not exist.
	Path string
	// Ask is asked whether to trust a host that the file does not know, after
	// the facts have been written to Out.
	Ask func() bool
	// Out is where people read what there is to say about hosts.
	Out io.Writer
}

// Errors of hosts that are not to be trusted.
var (
	errUnauthorized = errors.New("unauthorized host")
	errMismatch     = errors.New("host key mismatch")
)

// knownHost is a line of the file.
type knownHost struct {
	patterns []string
	key      ssh.PublicKey
}

// check decides about the key that a host has shown.
func (k KnownHosts) check(address string, key ssh.PublicKey) error {
	host := hostName(address)
	hosts, err := k.read()
	if err != nil {
		return err
	}
	known := false
	for _, h := range hosts {
		if !h.matches(host) {
			continue
		}
		if bytes.Equal(h.key.Marshal(), key.Marshal()) {
			return nil
		}
		known = true
	}
	if known {
		k.alarm(host, key)
		return errMismatch
	}
	fmt.Fprintf(k.Out, "The authenticity of host '%s' can't be established.\n", host)
	fmt.Fprintf(k.Out, "%s key fingerprint is %s (%s).\n", keyName(key), ssh.FingerprintLegacyMD5(key), ssh.FingerprintSHA256(key))
	fmt.Fprint(k.Out, "Are you sure you want to continue connecting (yes/no)? ")
	if !k.Ask() {
		fmt.Fprintln(k.Out, "Host key verification failed.")
		return errUnauthorized
	}
	if err := k.add(host, key); err != nil {
		return err
	}
	fmt.Fprintf(k.Out, "Warning: Permanently added '%s' (%s) to the list of known hosts.\n", host, keyName(key))
	return nil
}

func (k KnownHosts) alarm(host string, key ssh.PublicKey) {
	const line = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@"
	fmt.Fprintln(k.Out, line)
	fmt.Fprintln(k.Out, "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @")
	fmt.Fprintln(k.Out, line)
	fmt.Fprintf(k.Out, "Somebody may be listening in, or the host %s has been given another key.\n", host)
	fmt.Fprintf(k.Out, "The %s key that it shows has the fingerprint %s (%s).\n", keyName(key), ssh.FingerprintLegacyMD5(key), ssh.FingerprintSHA256(key))
	fmt.Fprintf(k.Out, "If that is right, remove the old key from %s.\n", k.Path)
}

// algorithms lists those that the stored keys of a host are for: a host that
// gets a further key, of another kind, then still shows one that is known. It is
// nil for a host that is not known.
func (k KnownHosts) algorithms(address string) []string {
	hosts, err := k.read()
	if err != nil {
		return nil // check will say so
	}
	var list []string
	for _, h := range hosts {
		if !h.matches(hostName(address)) {
			continue
		}
		names := []string{h.key.Type()}
		if names[0] == ssh.KeyAlgoRSA {
			names = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
		}
		for _, name := range names {
			if !slices.Contains(list, name) {
				list = append(list, name)
			}
		}
	}
	return list
}

// read reads the file; one that does not exist is empty. Lines with markers or
// hashed names are passed over with a warning.
func (k KnownHosts) read() ([]knownHost, error) {
	text, err := os.ReadFile(k.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var hosts []knownHost
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "@") || strings.HasPrefix(line, "|") {
			fmt.Fprintf(k.Out, "WARN %s:%d: markers and hashed names are not supported, line is ignored\n", k.Path, n)
			continue
		}
		names, rest, _ := strings.Cut(line, " ")
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(rest))
		if err != nil {
			fmt.Fprintf(k.Out, "WARN %s:%d: no key that could be read, line is ignored\n", k.Path, n)
			continue
		}
		hosts = append(hosts, knownHost{strings.Split(names, ","), key})
	}
	return hosts, lines.Err()
}

func (k KnownHosts) add(host string, key ssh.PublicKey) error {
	if err := os.MkdirAll(filepath.Dir(k.Path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(k.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(host + " " + string(ssh.MarshalAuthorizedKey(key)))
	return errors.Join(err, f.Close())
}

// matches reports whether a host is one of the patterns, and none of those that
// begin with "!".
func (h knownHost) matches(host string) bool {
	found := false
	for _, p := range h.patterns {
		p, not := strings.CutPrefix(p, "!")
		// Brackets are no classes here.
		ok, err := path.Match(strings.NewReplacer("[", `\[`, "]", `\]`).Replace(p), host)
		if err != nil || !ok {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

// hostName is how the file spells an address: with its port only if that is not
// SSH's own.
func hostName(address string) string {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return address
	case port != "22":
		return "[" + host + "]:" + port
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

// keyName is what people call a kind of key: "RSA", "ED25519".
func keyName(key ssh.PublicKey) string {
	name := strings.TrimPrefix(key.Type(), "ssh-")
	if strings.HasPrefix(name, "ecdsa") {
		name = "ecdsa"
	}
	return strings.ToUpper(name)
}
