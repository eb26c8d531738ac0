package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/strakeproject/strake/kv"
)

// Op says what a Command does. The values are stored.
type Op uint8

// The operations: the writes of kv.Store, the removal of what has expired, and
// the publishing of a member's attributes and their removal.
const (
	OpSet Op = 1 + iota
	OpCreate
	OpCreateInOrder
	OpUpdate
	OpDelete
	OpCompareAndSwap
	OpCompareAndDelete
	OpExpire
	OpPutMember
	OpDropMember
)

var opNames = [...]string{
	OpSet: "set", OpCreate: "create", OpCreateInOrder: "create-in-order", OpUpdate: "update", OpDelete: "delete",
	OpCompareAndSwap: "compare-and-swap", OpCompareAndDelete: "compare-and-delete",
	OpExpire: "expire", OpPutMember: "put-member", OpDropMember: "drop-member",
}

// String names the operation.
func (o Op) String() string {
	if o == 0 || int(o) >= len(opNames) {
		return fmt.Sprintf("Op(%d)", uint8(o))
	}
	return opNames[o]
}

// Command is one change to the tree, as it travels through the log. Which
// fields count depends on Op; Encode drops the others.
type Command struct {
	Op  Op
	Key string // of the writes; clean

	Value     string        // set, create, update and swap
	TTL       time.Duration // likewise; zero is for ever, negative expires at once
	Dir       bool          // set and create: make a directory; delete: an empty directory may go
	Refresh   bool          // set, update and swap: keep the value, set the TTL, wake no watcher
	Recursive bool          // delete: a full directory may go

	PrevValue string // compare; empty is not compared
	PrevIndex uint64 // compare; 0 is not compared

	Now time.Time // expire: what is due at this time
	Max int       // expire: at most so many nodes

	Member Member // put-member; drop-member: its ID
}

// Member is what a member of the cluster publishes about itself when it
// starts.
type Member struct {
	ID         uint64
	Name       string
	ClientURLs []string
}

const (
	flagDir = 1 << iota
	flagRefresh
	flagRecursive
	flagsKnown = flagDir | flagRefresh | flagRecursive
)

var errCommand = errors.New("tree: malformed command")

// Encode returns the command as bytes for the log.
func (c *Command) Encode() []byte {
	b := make([]byte, 1, 32+len(c.Key)+len(c.Value)+len(c.PrevValue))
	b[0] = byte(c.Op)
	switch c.Op {
	case OpExpire:
		b = binary.AppendVarint(b, nanos(c.Now))
		return binary.AppendUvarint(b, uint64(max(c.Max, 0)))
	case OpDropMember:
		return binary.AppendUvarint(b, c.Member.ID)
	case OpPutMember:
		return appendMember(binary.AppendUvarint(b, c.Member.ID), c.Member)
	}
	b = append(b, c.flags())
	b = appendString(b, c.Key)
	if c.writes() {
		b = appendString(b, c.Value)
		b = binary.AppendVarint(b, int64(c.TTL))
	}
	if c.compares() {
		b = appendString(b, c.PrevValue)
		b = binary.AppendUvarint(b, c.PrevIndex)
	}
	return b
}

// DecodeCommand is the inverse of Encode.
func DecodeCommand(b []byte) (Command, error) {
	d := decoder{b: b}
	c := Command{Op: Op(d.byte())}
	switch {
	case c.Op == OpExpire:
		c.Now = instant(d.varint())
		n := d.uvarint()
		if n > math.MaxInt32 {
			return Command{}, errCommand
		}
		c.Max = int(n)
	case c.Op == OpDropMember:
		c.Member.ID = d.uvarint()
	case c.Op == OpPutMember:
		c.Member.ID = d.uvarint()
		decodeMember(&d, &c.Member)
	case c.Op >= OpSet && c.Op <= OpCompareAndDelete:
		c.decodeWrite(&d)
	default:
		return Command{}, errCommand
	}
	if !d.done() {
		return Command{}, errCommand
	}
	return c, nil
}

func (c *Command) decodeWrite(d *decoder) {
	flags := d.byte()
	c.Dir, c.Refresh, c.Recursive = flags&flagDir != 0, flags&flagRefresh != 0, flags&flagRecursive != 0
	if c.writes() && !c.compares() {
		d.all = string(d.b) // key and value live equally long
	}
	c.Key = d.string()
	if c.writes() {
		c.Value = d.string()
		c.TTL = time.Duration(d.varint())
	}
	if c.compares() {
		c.PrevValue = d.string()
		c.PrevIndex = d.uvarint()
	}
	// Members must agree on what a key is, so an unclean one is no command.
	if flags&^flagsKnown != 0 || flags != c.flags() || !isClean(c.Key) {
		d.fail()
	}
}

// flags returns the flags that count for the operation.
func (c *Command) flags() byte {
	var f byte
	switch c.Op {
	case OpSet, OpCreate, OpCreateInOrder, OpDelete:
		if c.Dir {
			f |= flagDir
		}
	}
	switch c.Op {
	case OpSet, OpUpdate, OpCompareAndSwap:
		if c.Refresh {
			f |= flagRefresh
		}
	}
	if c.Op == OpDelete && c.Recursive {
		f |= flagRecursive
	}
	return f
}

// writes reports whether the operation has a value and a TTL.
func (c *Command) writes() bool {
	switch c.Op {
	case OpSet, OpCreate, OpCreateInOrder, OpUpdate, OpCompareAndSwap:
		return true
	}
	return false
}

// compares reports whether the operation has a condition.
func (c *Command) compares() bool {
	return c.Op == OpCompareAndSwap || c.Op == OpCompareAndDelete
}

// check refuses what needs no look at the tree. Like every request error, what
// it returns has index 0.
func (c *Command) check() *kv.Error {
	switch {
	case c.Refresh && c.Value != "":
		return &kv.Error{Code: kv.CodeRefreshValue, Cause: "A value was provided on a refresh"}
	case c.Refresh && c.TTL == 0:
		return &kv.Error{Code: kv.CodeRefreshTTLRequired, Cause: "No TTL value set"}
	case c.compares() && c.PrevValue == "" && c.PrevIndex == 0:
		return &kv.Error{Code: kv.CodePrevValueRequired, Cause: `"prevValue" cannot be empty`}
	}
	return nil
}

func appendMember(b []byte, m Member) []byte {
	b = appendString(b, m.Name)
	b = binary.AppendUvarint(b, uint64(len(m.ClientURLs)))
	for _, u := range m.ClientURLs {
		b = appendString(b, u)
	}
	return b
}

func decodeMember(d *decoder, m *Member) {
	m.Name = d.string()
	n := d.uvarint()
	if n > uint64(len(d.b)) { // each takes a byte at least
		d.fail()
		return
	}
	for range n {
		m.ClientURLs = append(m.ClientURLs, d.string())
	}
}
