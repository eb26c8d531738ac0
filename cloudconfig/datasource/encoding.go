package datasource

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
)

// decode takes off an encoding, one of those that write_files has. What comes out
// is bounded like all user-data.
func decode(data []byte, encoding string) ([]byte, error) {
	switch encoding {
	case "":
		return data, nil
	case "b64", "base64":
		return unbase64(string(data))
	case "gz", "gzip":
		return gunzip(data)
	case "gz+b64", "gz+base64", "gzip+b64", "gzip+base64":
		raw, err := unbase64(string(data))
		if err != nil {
			return nil, err
		}
		return gunzip(raw)
	}
	return nil, fmt.Errorf("unsupported encoding %q", encoding)
}

func unbase64(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("unable to decode base64: %w", err)
	}
	return raw, nil
}

func gunzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("unable to decode gzip: %w", err)
	}
	raw, err := readLimited(r, maxUserData)
	if err != nil {
		return nil, fmt.Errorf("unable to decode gzip: %w", err)
	}
	return raw, nil
}
