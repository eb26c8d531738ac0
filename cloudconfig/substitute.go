package cloudconfig

import (
	"fmt"
	"net/netip"
	"strings"
)

// Addresses are the machine's addresses as its platform knows them. The zero
// Addr is an address that nobody knows.
type Addresses struct {
	PublicIPv4, PrivateIPv4, PublicIPv6, PrivateIPv6 netip.Addr
}

// ReadAddresses takes addresses from environment variables, COREOS_PUBLIC_IPV4
// and so on, which lookup returns. What is no address counts as unknown.
func ReadAddresses(lookup func(name string) string) Addresses {
	var a Addresses
	for _, v := range a.variables() {
		*v.addr, _ = netip.ParseAddr(strings.TrimSpace(lookup(v.name)))
	}
	return a
}

// Or returns the addresses, with those of b where a has none.
func (a Addresses) Or(b Addresses) Addresses {
	others := b.variables()
	for i, v := range a.variables() {
		if !v.addr.IsValid() {
			*v.addr = *others[i].addr
		}
	}
	return a
}

// Environment returns the known addresses as the variables that
// /etc/environment gets, ordered by name.
func (a Addresses) Environment() Environment {
	var env Environment
	for _, v := range a.variables() {
		if v.addr.IsValid() {
			env = append(env, Variable{Name: v.name, Value: v.addr.String()})
		}
	}
	return env
}

// addressVariable is one address with its names.
type addressVariable struct {
	token, name string
	addr        *netip.Addr
}

// variables lists the addresses, ordered by the variables' names.
func (a *Addresses) variables() []addressVariable {
	return []addressVariable{
		{"$private_ipv4", "COREOS_PRIVATE_IPV4", &a.PrivateIPv4},
		{"$private_ipv6", "COREOS_PRIVATE_IPV6", &a.PrivateIPv6},
		{"$public_ipv4", "COREOS_PUBLIC_IPV4", &a.PublicIPv4},
		{"$public_ipv6", "COREOS_PUBLIC_IPV6", &a.PublicIPv6},
	}
}

// Substitute puts addresses in the place of $private_ipv4, $public_ipv4,
// $private_ipv6 and $public_ipv6, wherever they stand in a text: in comments,
// keys and scripts, too. A backslash before one keeps it, without the
// backslash. An unknown address becomes nothing, which is mostly not what the
// author meant: the report has a warning for each such place.
func Substitute(text string, a Addresses) (string, Report) {
	var (
		out    strings.Builder
		report Report
		line   = 1
	)
	for {
		at := strings.IndexByte(text, '$')
		if at < 0 {
			out.WriteString(text)
			return out.String(), report
		}
		v := findAddress(text[at:], &a)
		before := text[:at]
		line += strings.Count(before, "\n")
		switch {
		case v == nil:
			out.WriteString(before + "$")
			text = text[at+1:]
			continue
		case strings.HasSuffix(before, `\`):
			out.WriteString(before[:at-1] + v.token)
		case v.addr.IsValid():
			out.WriteString(before + v.addr.String())
		default:
			out.WriteString(before)
			report = append(report, Entry{
				Severity: SeverityWarning, Line: line,
				Message: fmt.Sprintf("the address %s is unknown, nothing is put in its place", v.token),
			})
		}
		text = text[at+len(v.token):]
	}
}

// findAddress returns the address whose token text begins with.
func findAddress(text string, a *Addresses) *addressVariable {
	for _, v := range a.variables() {
		if strings.HasPrefix(text, v.token) {
			return &v
		}
	}
	return nil
}
