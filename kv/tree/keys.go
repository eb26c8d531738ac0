package tree

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/strakeproject/strake/kv"
)

// The tables of the database, told apart by the first byte of a key.
//
//	'n' path                      the current record of a node
//	'e' index(8 BE) sub(4 BE)     what changed up to a store index
//	't' expiry(8 BE) 'n' path     nodes with a TTL, earliest first
//	'c' member id(8 BE)           published attributes of a cluster member
//	'm' name                      everything the machine knows about itself
//
// Paths are stored raw, so the subtree under P is the range ["P/", "P0") and
// keys keep bytewise order. The root directory is implicit.
const (
	tableNode   = 'n'
	tableEvent  = 'e'
	tableExpiry = 't'
	tableMember = 'c'
	tableMeta   = 'm'
)

// expiryNode marks an entry of the expiry table as that of a node.
const expiryNode = 'n'

var (
	metaFormat     = []byte{tableMeta, 'f'}
	metaState      = []byte{tableMeta, 'a'}
	metaMembership = []byte{tableMeta, 'c'}
	metaSegment    = []byte{tableMeta, 's'} // prefix
)

func nodeKey(path string) []byte { return appendNodeKey(make([]byte, 0, 1+len(path)), path) }

func appendNodeKey(k []byte, path string) []byte { return append(append(k, tableNode), path...) }

const eventKeyLen = 1 + 8 + 4

func eventKey(index uint64) []byte { return appendEventKey(make([]byte, 0, eventKeyLen), index) }

func appendEventKey(k []byte, index uint64) []byte {
	k = binary.BigEndian.AppendUint64(append(k, tableEvent), index)
	return append(k, 0, 0, 0, 0)
}

// appendExpiryKey makes a key that orders by time because times before 1970 are
// never stored.
func appendExpiryKey(k []byte, at int64, path string) []byte {
	k = binary.BigEndian.AppendUint64(append(k, tableExpiry), uint64(at))
	return append(append(k, expiryNode), path...)
}

// splitExpiryKey is the inverse of expiryKey.
func splitExpiryKey(k []byte) (at int64, path string, ok bool) {
	if len(k) < 10 || k[0] != tableExpiry || k[9] != expiryNode {
		return 0, "", false
	}
	return int64(binary.BigEndian.Uint64(k[1:9])), string(k[10:]), true
}

func memberKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableMember}, id)
}

func segmentKey(first uint64) []byte { return appendSegmentKey(nil, first) }

func appendSegmentKey(k []byte, first uint64) []byte {
	return binary.BigEndian.AppendUint64(append(k, metaSegment...), first)
}

// under returns the prefix of all keys below a directory.
func under(dir string) string {
	if dir == "/" {
		return "/"
	}
	return dir + "/"
}

// orderedKey is the key of what is created in order in a directory.
func orderedKey(dir string, index uint64) string { return under(dir) + fmt.Sprintf("%020d", index) }

// clean is kv.Clean, and costs nothing for a clean key.
func clean(key string) string {
	if isClean(key) {
		return key
	}
	return kv.Clean(key)
}

// isClean reports whether kv.Clean would leave a key as it is.
func isClean(key string) bool {
	if key == "/" {
		return true
	}
	if key == "" || key[0] != '/' {
		return false
	}
	for rest := key[1:]; ; {
		seg, after, more := strings.Cut(rest, "/")
		if seg == "" || seg == "." || seg == ".." {
			return false
		}
		if !more {
			return true
		}
		rest = after
	}
}

// subtree returns the bounds of the node keys below a directory.
func subtree(dir string) (lower, upper []byte) {
	p := under(dir)
	return nodeKey(p), nodeKey(p[:len(p)-1] + "0") // '0' follows '/'
}

// tableEnd is the upper bound of a table.
func tableEnd(table byte) []byte { return []byte{table + 1} }

// segments counts the segments of a clean key and says which one, counted from
// 1, is the last to begin with an underscore; 0 for none.
func segments(key string) (n, lastHidden int) {
	if key == "/" {
		return 0, 0
	}
	for seg := range strings.SplitSeq(key[1:], "/") {
		n++
		if strings.HasPrefix(seg, "_") {
			lastHidden = n
		}
	}
	return n, lastHidden
}
