package network

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net/netip"
)

// document is a description in JSON.
type document struct{ text []byte }

// read decodes the document; errors say on which line.
func (d document) read(to any) error {
	err := json.Unmarshal(d.text, to)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fail(d.line(int(e.Offset)), "not JSON: %v", err)
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fail(d.line(int(e.Offset)), "%s cannot be of the type %s", cmp.Or(e.Field, "the document"), e.Value)
	}
	if err != nil {
		return fail(0, "not JSON: %v", err)
	}
	return nil
}

func (d document) line(offset int) int {
	return 1 + bytes.Count(d.text[:min(offset, len(d.text))], []byte("\n"))
}

// find returns the line of a text that stands in the document. A text that is no
// address is at fault wherever it stands first.
func (d document) find(s string) int {
	quoted, err := json.Marshal(s)
	if err != nil {
		return 0
	}
	at := bytes.Index(d.text, quoted)
	if at < 0 {
		return 0
	}
	return d.line(at)
}

// addr reads an address.
func (d document) addr(what, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, fail(d.find(s), "%s %q is no address", what, s)
	}
	return a, nil
}

// addrs reads a list of addresses.
func (d document) addrs(what string, list []string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, s := range list {
		a, err := d.addr(what, s)
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// prefix reads an address with a prefix of bits, or if that is 0, with a netmask.
func (d document) prefix(address string, bits int, mask string) (netip.Prefix, error) {
	a, err := d.addr("address", address)
	if err != nil {
		return netip.Prefix{}, err
	}
	if bits == 0 {
		ok := false
		if bits, ok = parseMask(mask, a); !ok || mask == "" {
			return netip.Prefix{}, fail(d.find(address), "netmask %q of %s is none", mask, address)
		}
	}
	p := netip.PrefixFrom(a, bits)
	if !p.IsValid() {
		return p, fail(d.find(address), "%s/%d is no address with a prefix", address, bits)
	}
	return p, nil
}
