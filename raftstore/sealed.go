package raftstore

import (
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"
)

// A sealed file is JSON and a last line with its CRC-32C. A forged id or index
// would be as good JSON as the true one.
const sealLine = "crc32c %08x\n"

// writeSealed replaces a file of the data directory.
func writeSealed(files FS, path string, json []byte) error {
	json = append(json, '\n')
	return files.WriteFile(path, fmt.Appendf(json, sealLine, crc32.Checksum(json, castagnoli)))
}

// readSealed returns the content of a sealed file; fs.ErrNotExist if there is
// none.
func readSealed(files FS, path string) ([]byte, error) {
	b, err := files.ReadFile(path)
	if err != nil {
		return nil, err
	}
	end := strings.LastIndexByte(strings.TrimSuffix(string(b), "\n"), '\n') + 1
	if want := fmt.Sprintf(sealLine, crc32.Checksum(b[:end], castagnoli)); string(b[end:]) != want {
		return nil, fmt.Errorf("%w: %s: its checksum is %q, should be %q", ErrCorrupt, filepath.Base(path), b[end:], want)
	}
	return b[:end], nil
}
