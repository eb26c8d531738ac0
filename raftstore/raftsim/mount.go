package raftsim

import (
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// mount is a Disk as a program sees it that runs from one crash to the next.
// Every operation goes through do.
type mount struct {
	disk *Disk
	mem  *vfs.MemFS
	dead bool // protected by disk.power
}

// do carries out an operation, unless the disk has something else in mind.
func (m *mount) do(kind OpKind, path string, f func() error) error {
	op := Op{Kind: kind, Path: path}
	fault, healed := m.disk.fault(op)
	if fault.Delay > 0 {
		time.Sleep(fault.Delay)
	}
	if fault.Hang {
		<-healed
	}
	m.disk.watched(op)
	err := m.carryOut(fault.Err, f)
	if err == nil {
		op.Done = true
		m.disk.watched(op)
	}
	return err
}

func (m *mount) carryOut(fault error, f func() error) error {
	m.disk.power.RLock()
	defer m.disk.power.RUnlock()
	if m.dead {
		return ErrPowerLoss
	}
	if fault != nil {
		return fault
	}
	return f()
}

// open opens a file by an operation of the given kind.
func (m *mount) open(kind OpKind, name string, open func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	err := m.do(kind, name, func() (err error) {
		file, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &mountFile{File: file, m: m, name: name}, nil
}

func (m *mount) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return m.open(OpCreate, name, func() (vfs.File, error) { return m.mem.Create(name, category) })
}

func (m *mount) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return m.open(OpCreate, name, func() (vfs.File, error) { return m.mem.OpenReadWrite(name, category, opts...) })
}

func (m *mount) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return m.open(OpRename, from, func() (vfs.File, error) { return m.mem.ReuseForWrite(from, to, category) })
}

func (m *mount) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return m.open(OpRead, name, func() (vfs.File, error) { return m.mem.Open(name, opts...) })
}

func (m *mount) OpenDir(name string) (vfs.File, error) {
	file, err := m.open(OpRead, name, func() (vfs.File, error) { return m.mem.OpenDir(name) })
	if err == nil {
		file.(*mountFile).dir = true
	}
	return file, err
}

func (m *mount) Link(from, to string) error {
	return m.do(OpLink, to, func() error { return m.mem.Link(from, to) })
}

func (m *mount) Remove(name string) error {
	return m.do(OpRemove, name, func() error { return m.mem.Remove(name) })
}

func (m *mount) RemoveAll(name string) error {
	return m.do(OpRemove, name, func() error { return m.mem.RemoveAll(name) })
}

func (m *mount) Rename(from, to string) error {
	return m.do(OpRename, to, func() error { return m.mem.Rename(from, to) })
}

func (m *mount) MkdirAll(dir string, perm fs.FileMode) error {
	return m.do(OpMkdir, dir, func() error { return m.mem.MkdirAll(dir, perm) })
}

func (m *mount) Lock(name string) (c io.Closer, err error) {
	err = m.do(OpCreate, name, func() (err error) {
		c, err = m.mem.Lock(name)
		return err
	})
	return c, err
}

func (m *mount) List(dir string) (names []string, err error) {
	err = m.do(OpRead, dir, func() (err error) {
		names, err = m.mem.List(dir)
		return err
	})
	return names, err
}

func (m *mount) Stat(name string) (info vfs.FileInfo, err error) {
	err = m.do(OpRead, name, func() (err error) {
		info, err = m.mem.Stat(name)
		return err
	})
	return info, err
}

func (m *mount) PathBase(path string) string                     { return m.mem.PathBase(path) }
func (m *mount) PathJoin(elem ...string) string                  { return m.mem.PathJoin(elem...) }
func (m *mount) PathDir(path string) string                      { return m.mem.PathDir(path) }
func (m *mount) GetDiskUsage(path string) (vfs.DiskUsage, error) { return m.mem.GetDiskUsage(path) }
func (m *mount) Unwrap() vfs.FS                                  { return nil }

// mountFile is an open file or directory.
type mountFile struct {
	vfs.File
	m    *mount
	name string
	dir  bool
	lost bool // a sync failed
}

func (f *mountFile) Read(p []byte) (n int, err error) {
	err = f.m.do(OpRead, f.name, func() (err error) {
		n, err = f.File.Read(p)
		return err
	})
	return n, err
}

func (f *mountFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.m.do(OpRead, f.name, func() (err error) {
		n, err = f.File.ReadAt(p, off)
		return err
	})
	return n, err
}

func (f *mountFile) Write(p []byte) (n int, err error) {
	err = f.m.do(OpWrite, f.name, func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	if err != nil {
		// Of a copy: a file may use what it writes as scratch space.
		half := slices.Clone(p[:len(p)/2])
		errHalf := f.m.carryOut(nil, func() (err error) {
			n, err = f.File.Write(half)
			return err
		})
		if errHalf != nil {
			n = 0
		}
	}
	return n, err
}

func (f *mountFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.m.do(OpWrite, f.name, func() (err error) {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	return n, err
}

func (f *mountFile) Sync() error {
	kind := OpSync
	if f.dir {
		kind = OpSyncDir
	}
	err := f.m.do(kind, f.name, func() error {
		if f.lost {
			return nil
		}
		return f.File.Sync()
	})
	f.lost = f.lost || err != nil
	return err
}

func (f *mountFile) SyncData() error { return f.Sync() }
