//go:build !linux

package datasource

import (
	"errors"
	"io"
	"os"
)

func openSerial(path string) (io.ReadWriteCloser, error) {
	return nil, &os.PathError{Op: "open", Path: path, Err: errors.ErrUnsupported}
}
