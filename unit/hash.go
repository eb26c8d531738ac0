package unit

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
)

// Hash identifies the contents of a unit file: SHA-1 over [File.String], which
// is how fleet's registry keys unit files. It is an identity, not a protection:
// who can write units can write what they like.
type Hash [sha1.Size]byte

// ParseHash reads the 40 hexadecimal digits that [Hash.String] writes.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != hex.EncodedLen(len(h)) {
		return Hash{}, fmt.Errorf("unit hash %q: want %d hexadecimal digits, got %d bytes", s, hex.EncodedLen(len(h)), len(s))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash{}, fmt.Errorf("unit hash %q: %w", s, err)
	}
	return h, nil
}

// String is the hash in 40 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short is the first 7 digits, enough for people.
func (h Hash) Short() string { return h.String()[:7] }

// IsZero reports whether h is the hash of no file at all.
func (h Hash) IsZero() bool { return h == Hash{} }
