package overlay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/strakeproject/strake/kv"
)

// Lease is one host's hold on a subnet: a key below <prefix>/subnets.
type Lease struct {
	// Subnet is IPv4 with host bits cleared.
	Subnet netip.Prefix
	// Attributes say how to reach the holder. They are zero if the key's value
	// could not be read; the subnet is taken all the same.
	Attributes Attributes
	// Expiration is when the lease ends unless it is renewed. Zero means never:
	// the lease is a reservation that an operator made, which is neither
	// renewed nor ever given an end.
	Expiration time.Time

	key   string // the whole key, as found
	index uint64 // the key's ModifiedIndex: the precondition of the next write

	// takenOver: when this host acquired the lease, another machine of the same
	// public IP was its holder.
	takenOver bool
}

// Reservation reports whether the lease has no end.
func (l Lease) Reservation() bool { return l.Expiration.IsZero() }

// Attributes is the value of a lease.
type Attributes struct {
	// PublicIP is where peers send to, and without MachineID it is also what
	// tells hosts apart.
	PublicIP netip.Addr
	// BackendType is empty for backends that publish nothing, such as udp.
	BackendType string
	// BackendData is what peers need beyond PublicIP, in the backend's own
	// form; nil if nothing.
	BackendData json.RawMessage
	// MachineID tells apart hosts of equal PublicIP; empty in leases of
	// flanneld, which ignores it.
	MachineID string
}

// body is the JSON form of Attributes, member for member that of flanneld, and
// MachineID behind.
type body struct {
	PublicIP    netip.Addr
	BackendType string          `json:",omitempty"`
	BackendData json.RawMessage `json:",omitempty"`
	MachineID   string          `json:",omitempty"`
}

// MarshalJSON gives the form in which a lease is stored.
func (a Attributes) MarshalJSON() ([]byte, error) { return json.Marshal(body(a)) }

// UnmarshalJSON reads the stored form. Members that it does not know are
// ignored, since leases of several versions share a cluster.
func (a *Attributes) UnmarshalJSON(data []byte) error {
	var b body
	if err := json.Unmarshal(data, &b); err != nil {
		return err
	}
	if !b.PublicIP.Is4() {
		return errors.New("PublicIP is missing or not IPv4")
	}
	if string(b.BackendData) == "null" {
		b.BackendData = nil
	}
	if b.BackendData != nil {
		var compact bytes.Buffer
		if err := json.Compact(&compact, b.BackendData); err != nil {
			return err
		}
		b.BackendData = compact.Bytes()
	}
	*a = Attributes(b)
	return nil
}

// equal compares all attributes, not only what names the host.
func (a Attributes) equal(b Attributes) bool {
	return a.PublicIP == b.PublicIP && a.BackendType == b.BackendType &&
		a.MachineID == b.MachineID && bytes.Equal(a.BackendData, b.BackendData)
}

// sameHost reports whether both belong to one host: by machine id where both
// have one and else by public IP.
func (a Attributes) sameHost(b Attributes) bool {
	if a.PublicIP != b.PublicIP {
		return false
	}
	return a.MachineID == "" || b.MachineID == "" || a.MachineID == b.MachineID
}

// known reports whether the attributes could be read.
func (a Attributes) known() bool { return a.PublicIP.IsValid() }

// host names the holder in messages.
func (a Attributes) host() string {
	switch {
	case !a.known():
		return "an unreadable lease"
	case a.MachineID == "":
		return a.PublicIP.String()
	}
	return a.MachineID + " (" + a.PublicIP.String() + ")"
}

// leaseKey is the last segment of the key of a subnet's lease: "10.1.76.0-24".
func leaseKey(subnet netip.Prefix) string {
	return subnet.Addr().String() + "-" + strconv.Itoa(subnet.Bits())
}

// parseLeaseKey reads the last segment of a lease's key. A dual-stack lease has
// an IPv6 part behind an ampersand, which is left alone; a lease of IPv6 alone
// shows as 0.0.0.0-0 there and is none of ours.
func parseLeaseKey(name string) (netip.Prefix, error) {
	name4, _, _ := strings.Cut(name, "&")
	text, length, ok := strings.Cut(name4, "-")
	if !ok {
		return netip.Prefix{}, fmt.Errorf("%q is not of the form a.b.c.d-len", name)
	}
	p, err := netip.ParsePrefix(text + "/" + length)
	if err != nil || !p.Addr().Is4() || p.Bits() == 0 {
		return netip.Prefix{}, fmt.Errorf("%q does not name an IPv4 subnet", name)
	}
	return p.Masked(), nil
}

// decodeLease reads a node below subnets. With an error the lease is still of
// use if its Subnet is valid: it is taken, by whoever.
func decodeLease(n kv.Node) (Lease, error) {
	subnet, err := parseLeaseKey(kv.Base(n.Key))
	if err != nil {
		return Lease{}, err
	}
	l := Lease{Subnet: subnet, Expiration: n.Expiration, key: n.Key, index: n.ModifiedIndex}
	if err := json.Unmarshal([]byte(n.Value), &l.Attributes); err != nil {
		return l, fmt.Errorf("value of lease: %w", err)
	}
	return l, nil
}
