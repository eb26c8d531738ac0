package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// SubnetEnv is the file from which a container runtime learns its subnet:
// shell assignments, in flanneld's form.
type SubnetEnv struct {
	Network netip.Prefix // FLANNEL_NETWORK
	Subnet  netip.Prefix // FLANNEL_SUBNET, there with the bridge's address: the subnet's first
	MTU     int          // FLANNEL_MTU, bytes
	IPMasq  bool         // FLANNEL_IPMASQ: the overlay masquerades, so the runtime must not
}

// String gives the file's text.
func (e SubnetEnv) String() string {
	bridge := netip.PrefixFrom(e.Subnet.Masked().Addr().Next(), e.Subnet.Bits())
	return fmt.Sprintf("FLANNEL_NETWORK=%s\nFLANNEL_SUBNET=%s\nFLANNEL_MTU=%d\nFLANNEL_IPMASQ=%t\n",
		e.Network, bridge, e.MTU, e.IPMasq)
}

// ParseSubnetEnv reads the file's text. Other assignments, blank lines and
// comments are ignored; so is the bridge's host part.
func ParseSubnetEnv(data []byte) (SubnetEnv, error) {
	var e SubnetEnv
	n := 0
	for line := range bytes.Lines(data) {
		n++
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		var err error
		switch name {
		case "FLANNEL_NETWORK":
			e.Network, err = netip.ParsePrefix(value)
		case "FLANNEL_SUBNET":
			e.Subnet, err = netip.ParsePrefix(value)
			e.Subnet = e.Subnet.Masked()
		case "FLANNEL_MTU":
			e.MTU, err = strconv.Atoi(value)
		case "FLANNEL_IPMASQ":
			e.IPMasq, err = strconv.ParseBool(value)
		}
		if err != nil {
			return SubnetEnv{}, fmt.Errorf("line %d: %s: %w", n, name, err)
		}
	}
	if !e.Subnet.IsValid() || !e.Subnet.Addr().Is4() {
		return SubnetEnv{}, errors.New("no IPv4 FLANNEL_SUBNET")
	}
	return e, nil
}

// writeFile replaces a file in one step, with mode 0644; missing parents are
// made with 0755.
func writeFile(path, text string) error {
	dir, name := filepath.Split(path)
	if err := os.MkdirAll(filepath.Clean(dir), 0o755); err != nil {
		return err
	}
	temp := filepath.Join(dir, "."+name)
	if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o644); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}
