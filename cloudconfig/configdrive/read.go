package configdrive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// ErrImage is wrapped by errors about what is no config drive.
var ErrImage = errors.New("no image of a config drive")

// The bounds of what ReadImage takes.
const (
	maxEntries = 1000
	maxTotal   = 64 << 20
)

// ReadImage reads the files of an ISO 9660 image that is labelled [Label], with
// their Rock Ridge names or else, as Linux shows them, in small letters. It
// takes up to a thousand files of 64 MiB in all.
func ReadImage(image io.ReaderAt) (Files, error) {
	r := imageReader{image: image, files: make(Files)}
	d, err := r.read(descriptorAt, sector)
	if err != nil {
		return nil, err
	}
	if d[0] != 1 || string(d[1:6]) != descriptorMagic {
		return nil, fmt.Errorf("%w: it has no volume of ISO 9660", ErrImage)
	}
	if label := strings.TrimRight(string(d[40:72]), " "); !strings.EqualFold(label, Label) {
		return nil, fmt.Errorf("%w: its label is %q, not %q", ErrImage, label, Label)
	}
	const rootRecord = 156
	root, err := parseRecord(d[rootRecord : rootRecord+34])
	if err != nil {
		return nil, err
	}
	if err := r.dir(root, ".", 0); err != nil {
		return nil, err
	}
	return r.files, nil
}

// imageReader reads one image.
type imageReader struct {
	image   io.ReaderAt
	files   Files
	entries int
	total   int64
}

// read reads bytes from a sector on.
func (r *imageReader) read(at uint32, size uint32) ([]byte, error) {
	if r.total += int64(size); r.total > maxTotal {
		return nil, fmt.Errorf("%w: it holds more than %d MiB", ErrImage, maxTotal>>20)
	}
	b := make([]byte, size)
	if _, err := r.image.ReadAt(b, int64(at)*sector); err != nil && size > 0 {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: it is cut short", ErrImage)
		}
		return nil, err
	}
	return b, nil
}

// dir reads what a directory holds.
func (r *imageReader) dir(d record, at string, depth int) error {
	if depth >= maxDepth {
		return fmt.Errorf("%w: its directories are nested too deep", ErrImage)
	}
	b, err := r.read(d.extent, d.size)
	if err != nil {
		return err
	}
	for pos := 0; pos < len(b); {
		size := int(b[pos])
		if size == 0 { // the rest of the sector is empty
			pos = (pos/sector + 1) * sector
			continue
		}
		if size > len(b)-pos {
			return fmt.Errorf("%w: a record of %q is cut short", ErrImage, at)
		}
		e, err := parseRecord(b[pos : pos+size])
		if err != nil {
			return err
		}
		pos += size
		if e.name == "\x00" || e.name == "\x01" {
			continue
		}
		if err := r.entry(e, at, depth); err != nil {
			return err
		}
	}
	return nil
}

func (r *imageReader) entry(e record, at string, depth int) error {
	name := path.Join(at, e.name)
	if strings.Contains(e.name, "/") || e.name == "." || e.name == ".." || !fs.ValidPath(name) {
		return fmt.Errorf("%w: %q is no name of a file", ErrImage, e.name)
	}
	if r.entries++; r.entries > maxEntries {
		return fmt.Errorf("%w: it holds more than %d files", ErrImage, maxEntries)
	}
	if e.dir {
		return r.dir(e, name, depth+1)
	}
	content, err := r.read(e.extent, e.size)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.files[name] = content
	return nil
}

// record is what a record says.
type record struct {
	name         string
	dir          bool
	extent, size uint32
}

func parseRecord(b []byte) (record, error) {
	if len(b) < recordHead+1 || len(b) < recordHead+int(b[32]) {
		return record{}, fmt.Errorf("%w: a record is cut short", ErrImage)
	}
	e := record{
		extent: binary.LittleEndian.Uint32(b[2:]),
		size:   binary.LittleEndian.Uint32(b[10:]),
		dir:    b[25]&flagDirectory != 0,
	}
	n := int(b[32])
	e.name = string(b[recordHead : recordHead+n])
	if e.name == "\x00" || e.name == "\x01" {
		return e, nil
	}
	rest := b[recordHead+n:]
	if n%2 == 0 && len(rest) > 0 {
		rest = rest[1:]
	}
	if real := realName(rest); real != "" {
		e.name = real
		return e, nil
	}
	e.name, _, _ = strings.Cut(e.name, ";")
	e.name = strings.ToLower(strings.TrimSuffix(e.name, "."))
	return e, nil
}

// realName is the name in Rock Ridge entries; empty if there is none.
func realName(b []byte) string {
	var name strings.Builder
	for len(b) >= 4 && int(b[2]) >= 4 && int(b[2]) <= len(b) {
		if entry := b[:b[2]]; string(entry[:2]) == "NM" && len(entry) > 5 {
			name.Write(entry[5:])
		}
		b = b[b[2]:]
	}
	return name.String()
}
