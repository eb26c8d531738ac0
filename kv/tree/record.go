package tree

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/strakeproject/strake/kv"
)

// A record is a node as it is stored:
//
//	flags(1) created(uvarint) modified-created(uvarint) version(uvarint)
//	[expires(8 BE)] value(rest)
type record struct {
	dir      bool
	created  uint64
	modified uint64
	version  uint64 // 1 when the node was created, one more at each change
	expires  int64  // nanoseconds since 1970; 0 for never
	value    string
}

const (
	recordDir = 1 << iota
	recordExpires
)

var errRecord = errors.New("malformed record")

// append encodes the record.
func (r *record) append(b []byte) []byte {
	var flags byte
	if r.dir {
		flags |= recordDir
	}
	if r.expires != 0 {
		flags |= recordExpires
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, r.created)
	b = binary.AppendUvarint(b, r.modified-r.created)
	b = binary.AppendUvarint(b, r.version)
	if r.expires != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(r.expires))
	}
	return append(b, r.value...)
}

// encodedLen returns how many bytes append adds.
func (r *record) encodedLen() int {
	n := 1 + uvarintLen(r.created) + uvarintLen(r.modified-r.created) + uvarintLen(r.version) + len(r.value)
	if r.expires != 0 {
		n += 8
	}
	return n
}

func decodeRecord(b []byte) (record, error) {
	d := decoder{b: b}
	flags := d.byte()
	r := record{dir: flags&recordDir != 0, created: d.uvarint()}
	r.modified = r.created + d.uvarint()
	r.version = d.uvarint()
	if flags&recordExpires != 0 {
		r.expires = d.int64()
	}
	if d.failed || flags&^(recordDir|recordExpires) != 0 {
		return record{}, errRecord
	}
	r.value = string(d.b)
	return r, nil
}

// node returns the record as users see it.
func (r *record) node(key string) kv.Node {
	return kv.Node{
		Key: key, Value: r.value, Dir: r.dir,
		CreatedIndex: r.created, ModifiedIndex: r.modified,
		Expiration: instant(r.expires),
	}
}

// instant turns stored nanoseconds into a time; 0 is the zero time.
func instant(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// nanos is the inverse of instant.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
