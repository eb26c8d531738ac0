package configdrive

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
)

// An image is a sequence of sectors, in the layout of ECMA-119 (ISO 9660):
//
//	0-15   nothing
//	16     primary volume descriptor: label, sizes, where all else is
//	17     end of the descriptors
//	18-    path table, little-endian, then once more, big-endian
//	       directories, each a list of records that say where a file is
//	       files
//
// A record's name is in capitals; the real one and the permissions follow it in
// entries of the Rock Ridge protocol (IEEE P1282), which the record of the root
// directory itself announces.
const (
	sector          = 2048
	descriptorAt    = 16
	pathTableAt     = 18
	maxFileSize     = math.MaxUint32
	maxRecord       = 255
	recordHead      = 33
	maxDepth        = 8 // of directories, the root included
	flagDirectory   = 2
	maxRealName     = 150 // so that a record holds it
	maxISOName      = 27  // with ".;1" and a number to tell names apart 31 at most
	rockRidge       = "RRIP_1991A"
	modeFile        = 0o100444
	modeDirectory   = 0o040555
	descriptorMagic = "CD001"
)

// ErrFiles is wrapped by errors about files that an image cannot hold.
var ErrFiles = errors.New("no files for a config drive")

// node is a file or directory of an image.
type node struct {
	name    string // as on Linux
	iso     string // as in the record; a file's without ".;1"
	dir     bool
	content []byte
	entries []*node // of a directory, by iso
	parent  *node   // of the root itself

	extent uint32 // first sector
	size   uint32 // bytes; of a directory whole sectors
	number uint16 // of a directory in the path table, from 1
}

// WriteImage writes an ISO 9660 image of the files, labelled [Label].
func (f Files) WriteImage(w io.Writer) error {
	root, err := f.tree()
	if err != nil {
		return err
	}
	im, err := layOut(root)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, part := range im.parts() {
		if _, err := out.Write(part); err != nil {
			return err
		}
		if rest := len(part) % sector; rest > 0 {
			if _, err := out.Write(make([]byte, sector-rest)); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// tree makes nodes of paths.
func (f Files) tree() (*node, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	root := &node{dir: true}
	root.parent = root
	for _, name := range f.sorted() {
		content := f[name]
		if uint64(len(content)) > maxFileSize {
			return nil, fmt.Errorf("%w: %s holds more than 4 GiB", ErrFiles, name)
		}
		at := root
		for dir := range strings.SplitSeq(path.Dir(name), "/") {
			if dir != "." {
				at = at.child(dir, true)
			}
		}
		at.child(path.Base(name), false).content = content
	}
	return root, root.nameAll()
}

// child returns the entry of a name, which it makes.
func (n *node) child(name string, dir bool) *node {
	for _, e := range n.entries {
		if e.name == name {
			return e
		}
	}
	e := &node{name: name, dir: dir, parent: n}
	n.entries = append(n.entries, e)
	return e
}

// nameAll gives each node the name that its record has, and sorts by it.
func (n *node) nameAll() error {
	taken := make(map[string]bool)
	for i, e := range n.entries {
		if len(e.name) > maxRealName {
			return fmt.Errorf("%w: the name %q is too long", ErrFiles, e.name)
		}
		e.iso = isoName(e.name, e.dir)
		for number := i; taken[e.iso]; number++ {
			e.iso = fmt.Sprintf("_%d", number)
		}
		taken[e.iso] = true
		if err := e.nameAll(); err != nil {
			return err
		}
	}
	slices.SortFunc(n.entries, func(a, b *node) int { return strings.Compare(a.iso, b.iso) })
	return nil
}

// isoName is a name in the characters that records may have.
func isoName(name string, dir bool) string {
	clean := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, strings.ToUpper(s))
	}
	if dir {
		name = clean(name)
		return name[:min(len(name), maxISOName)]
	}
	ext := path.Ext(name)
	base := clean(strings.TrimSuffix(name, ext))
	ext = clean(strings.TrimPrefix(ext, "."))
	ext = ext[:min(len(ext), 8)]
	return cmp.Or(base[:min(len(base), maxISOName-8)], "_") + "." + ext
}

// image is an image whose sectors are given out.
type image struct {
	root    *node
	dirs    []*node // in the order of the path table
	files   []*node
	sectors uint32
	table   uint32 // bytes of the path table
}

// layOut says where everything goes.
func layOut(root *node) (*image, error) {
	im := &image{root: root, dirs: []*node{root}}
	for i := 0; i < len(im.dirs); i++ { // level by level, as the table wants it
		d := im.dirs[i]
		if i >= math.MaxUint16 {
			return nil, fmt.Errorf("%w: too many directories", ErrFiles)
		}
		d.number = uint16(i + 1)
		im.table += 8 + uint32(len(d.pathName())+len(d.pathName())%2)
		for _, e := range d.entries {
			if e.dir {
				im.dirs = append(im.dirs, e)
			} else {
				im.files = append(im.files, e)
			}
		}
	}
	at := uint64(pathTableAt) + 2*sectorsOf(uint64(im.table))
	for _, d := range im.dirs {
		d.extent, d.size = uint32(at), uint32(len(d.records()))
		at += sectorsOf(uint64(d.size))
	}
	for _, f := range im.files {
		f.extent, f.size = uint32(at), uint32(len(f.content))
		at += sectorsOf(uint64(f.size))
	}
	if at > math.MaxUint32 {
		return nil, fmt.Errorf("%w: together they are too large", ErrFiles)
	}
	im.sectors = uint32(at)
	return im, nil
}

func sectorsOf(bytes uint64) uint64 { return (bytes + sector - 1) / sector }

// parts are the image's texts in order, each beginning at a sector.
func (im *image) parts() [][]byte {
	parts := [][]byte{
		make([]byte, descriptorAt*sector), im.descriptor(), terminator(),
		im.pathTable(binary.LittleEndian), im.pathTable(binary.BigEndian),
	}
	for _, d := range im.dirs {
		parts = append(parts, d.records())
	}
	for _, f := range im.files {
		parts = append(parts, f.content)
	}
	return parts
}

// descriptor is the primary volume descriptor.
func (im *image) descriptor() []byte {
	b := make([]byte, 0, sector)
	b = append(b, 1)
	b = append(b, descriptorMagic...)
	b = append(b, 1, 0)
	b = append(b, padded("LINUX", 32)...)
	b = append(b, padded(Label, 32)...)
	b = append(b, make([]byte, 8)...)
	b = both32(b, im.sectors)
	b = append(b, make([]byte, 32)...)
	b = both16(b, 1) // volumes in the set
	b = both16(b, 1) // the number of this one
	b = both16(b, sector)
	b = both32(b, im.table)
	b = binary.LittleEndian.AppendUint32(b, pathTableAt)
	b = append(b, make([]byte, 4)...)
	b = binary.BigEndian.AppendUint32(b, pathTableAt+uint32(sectorsOf(uint64(im.table))))
	b = append(b, make([]byte, 4)...)
	b = append(b, im.root.record("\x00", nil)...)
	b = append(b, padded("", 4*128+3*37)...)
	for range 4 { // dates that nobody tells
		b = append(b, "0000000000000000\x00"...)
	}
	return append(b, 1) // version of the layout
}

func terminator() []byte { return []byte("\xffCD001\x01") }

// pathTable lists all directories, in the byte order given.
func (im *image) pathTable(order binary.AppendByteOrder) []byte {
	var b []byte
	for _, d := range im.dirs {
		name := d.pathName()
		b = append(b, byte(len(name)), 0)
		b = order.AppendUint32(b, d.extent)
		b = order.AppendUint16(b, d.parent.number)
		b = append(b, name...)
		if len(name)%2 == 1 {
			b = append(b, 0)
		}
	}
	return b
}

// pathName is a directory's name in the path table.
func (n *node) pathName() string {
	if n.parent == n {
		return "\x00"
	}
	return n.iso
}

// records are a directory's records: itself, its parent, its entries. None
// crosses the border of a sector.
func (n *node) records() []byte {
	var b []byte
	add := func(record []byte) {
		if room := sector - len(b)%sector; len(record) > room {
			b = append(b, make([]byte, room)...)
		}
		b = append(b, record...)
	}
	self := n.posix()
	if n.parent == n { // the root says what protocol all entries are of
		self = append([]byte("SP\x07\x01\xbe\xef\x00"), self...)
		self = append(self, 'E', 'R', byte(8+len(rockRidge)), 1, byte(len(rockRidge)), 0, 0, 1)
		self = append(self, rockRidge...)
	}
	add(n.record("\x00", self))
	add(n.parent.record("\x01", n.parent.posix()))
	for _, e := range n.entries {
		name := e.iso
		if !e.dir {
			name += ";1"
		}
		entries := append(e.posix(), 'N', 'M', byte(5+len(e.name)), 1, 0)
		add(e.record(name, append(entries, e.name...)))
	}
	if rest := len(b) % sector; rest > 0 {
		b = append(b, make([]byte, sector-rest)...)
	}
	return b
}

// record is the record of a node under a name, followed by Rock Ridge entries.
func (n *node) record(name string, entries []byte) []byte {
	flags := byte(0)
	if n.dir {
		flags = flagDirectory
	}
	b := make([]byte, 2, maxRecord)
	b = both32(b, n.extent)
	b = both32(b, n.size)
	b = append(b, 80, 1, 1, 0, 0, 0, 0) // 1980-01-01: the same files make the same image
	b = append(b, flags, 0, 0)
	b = both16(b, 1)
	b = append(b, byte(len(name)))
	b = append(b, name...)
	if len(name)%2 == 0 {
		b = append(b, 0)
	}
	b = append(b, entries...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	b[0] = byte(len(b))
	return b
}

// posix is the entry with a node's permissions, links and owner.
func (n *node) posix() []byte {
	mode, links := uint32(modeFile), uint32(1)
	if n.dir {
		mode, links = modeDirectory, 2
		for _, e := range n.entries {
			if e.dir {
				links++
			}
		}
	}
	b := []byte{'P', 'X', 36, 1}
	for _, v := range []uint32{mode, links, 0, 0} {
		b = both32(b, v)
	}
	return b
}

// both32 appends a number in both byte orders, as the layout wants it.
func both32(b []byte, v uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, v), v)
}

func both16(b []byte, v uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, v), v)
}

// padded fills a text up with blanks.
func padded(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }
