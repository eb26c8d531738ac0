package network

import (
	"slices"
	"strconv"
)

// bondOption is an option of a bond by both its names.
type bondOption struct {
	networkd, value string // in the section [Bond]
	module          string // NAME=VALUE for the kernel's module
}

// newBondOption translates an option as ifenslave names it, without its prefix
// "bond-". Both results are false and nil for an option that has no
// counterpart; it is ignored then.
func newBondOption(name, value string) (o bondOption, known bool, err error) {
	known = true
	switch name {
	case "mode":
		value, err = oneOf(value, "balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
		o = bondOption{"Mode", value, "mode=" + value}
	case "lacp-rate", "lacp_rate":
		value, err = oneOf(value, "slow", "fast")
		o = bondOption{"LACPTransmitRate", value, "lacp_rate=" + value}
	case "xmit-hash-policy", "xmit_hash_policy":
		value, err = oneOf(value, "layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4")
		o = bondOption{"TransmitHashPolicy", value, "xmit_hash_policy=" + value}
	case "miimon":
		o, err = bondDelay("MIIMonitorSec", name, value)
	case "downdelay":
		o, err = bondDelay("DownDelaySec", name, value)
	case "updelay":
		o, err = bondDelay("UpDelaySec", name, value)
	default:
		known = false
	}
	if err != nil {
		err = fail(0, "invalid value %q of bond-%s", value, name)
	}
	return o, known, err
}

// bondDelay is an option in milliseconds.
func bondDelay(networkd, module, value string) (bondOption, error) {
	ms, err := strconv.ParseUint(value, 10, 31)
	n := strconv.FormatUint(ms, 10)
	return bondOption{networkd, n + "ms", module + "=" + n}, err
}

// oneOf returns a value that is one of those known, or its number, as the
// kernel counts them. The value comes back as it is if it is neither.
func oneOf(value string, known ...string) (string, error) {
	if slices.Contains(known, value) {
		return value, nil
	}
	n, err := strconv.ParseUint(value, 10, 8)
	if err == nil && int(n) < len(known) {
		return known[n], nil
	}
	return value, strconv.ErrRange
}

// moduleOptions are the options for the kernel's module, sorted.
func moduleOptions(options []bondOption) []string {
	var list []string
	for _, o := range options {
		list = append(list, o.module)
	}
	slices.Sort(list)
	return list
}
