package cloudconfig

import (
	"bytes"
	"encoding/json"
)

// Kind is what user-data can be.
type Kind string

// The kinds of user-data.
const (
	KindEmpty       Kind = "empty"        // no byte at all
	KindScript      Kind = "script"       // begins with "#!"
	KindCloudConfig Kind = "cloud-config" // first line is "#cloud-config"
	KindIgnition    Kind = "ignition"     // JSON with an Ignition version
	KindGzip        Kind = "gzip"         // compressed
	KindBase64      Kind = "base64"       // base64 of one of the others
	KindMultipart   Kind = "multipart"    // a MIME message of several parts
	KindUnknown     Kind = "unknown"
)

// KindOf tells what data is. The header of a cloud-config must be the very
// first line; only blanks, tabs and a carriage return may follow it there.
// What is wrapped in gzip, base64 or multipart [Unpack] lays open.
func KindOf(data []byte) Kind {
	first, _, _ := bytes.Cut(data, []byte("\n"))
	switch {
	case len(data) == 0:
		return KindEmpty
	case bytes.HasPrefix(data, []byte("#!")):
		return KindScript
	case string(bytes.TrimRight(first, " \t\r")) == "#cloud-config":
		return KindCloudConfig
	case isIgnition(data):
		return KindIgnition
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		return KindGzip
	case isMultipart(data):
		return KindMultipart
	case isBase64(data):
		return KindBase64
	}
	return KindUnknown
}

// isIgnition looks for the version that every Ignition config carries, under
// the name of the first specification or of the later ones.
func isIgnition(data []byte) bool {
	var v struct {
		First *float64 `json:"ignitionVersion"`
		Later struct {
			Version *string `json:"version"`
		} `json:"ignition"`
	}
	if data = bytes.TrimLeft(data, " \t\r\n"); len(data) == 0 || data[0] != '{' {
		return false
	}
	return json.Unmarshal(data, &v) == nil && (v.First != nil || v.Later.Version != nil)
}
