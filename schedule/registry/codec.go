package registry

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/strakeproject/strake/unit"
)

// blob is the value of a unit file's key, as fleet writes it.
type blob struct {
	Raw string
}

func encodeBlob(f *unit.File) string { return encode(blob{Raw: f.String()}) }

func decodeBlob(value string) (*unit.File, error) {
	var b blob
	if err := json.Unmarshal([]byte(value), &b); err != nil {
		return nil, fmt.Errorf("unit file: %w", err)
	}
	return unit.Parse([]byte(b.Raw))
}

// object is the value of a unit's object key. UnitHash travels as twenty
// numbers.
type object struct {
	Name     string
	UnitHash [len(unit.Hash{})]byte
	// Global spares an agent the fetching of files that are not for it. It is
	// not fleet's: nil means that an older program wrote the object, and only
	// the file can tell.
	Global *bool `json:",omitempty"`
}

func encodeObject(name string, h unit.Hash, global bool) string {
	return encode(object{Name: name, UnitHash: h, Global: &global})
}

func decodeObject(value string) (object, error) {
	var o object
	if err := json.Unmarshal([]byte(value), &o); err != nil {
		return o, fmt.Errorf("unit object: %w", err)
	}
	return o, nil
}

// encode is json.Marshal for values that cannot fail, with <, > and & as they
// are.
func encode(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("registry: encode %T: %v", v, err))
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
