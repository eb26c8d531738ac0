package raftsim

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/strakeproject/strake/raftstore"
)

// Disk is a disk in memory that loses what was not synced when the power fails,
// and fails or hangs where it is told to. Its methods are safe for concurrent
// use.
//
// Only what Sync of a file has returned for survives a Crash for certain: the
// file's content. Its name survives when its directory was synced, too. A Sync
// that failed has lost what it was to make durable, and a later one of the same
// open file succeeds without making up for it, as on Linux. A Write that failed
// has written half. Anything else that failed has done nothing.
type Disk struct {
	// power is held shared while an operation is carried out, and alone while
	// the power fails.
	power sync.RWMutex
	now   *mount // until the next Crash

	mu     sync.Mutex
	faults []*armed
	healed chan struct{} // closed when faults are forgotten
	watch  func(Op)
}

// armed is a Fault and how many operations it was asked about.
type armed struct {
	Fault
	seen int
}

// OpKind is a kind of operations on a disk.
type OpKind string

// The kinds of operations. Opening a file for reading and listing a directory
// are reads, too.
const (
	OpCreate  OpKind = "create"
	OpWrite   OpKind = "write"
	OpSync    OpKind = "sync"
	OpSyncDir OpKind = "syncdir"
	OpRename  OpKind = "rename"
	OpLink    OpKind = "link"
	OpRemove  OpKind = "remove"
	OpMkdir   OpKind = "mkdir"
	OpRead    OpKind = "read"
)

// Op is one operation on a disk.
type Op struct {
	Kind OpKind
	Path string
	Done bool // it was carried out, not: it is about to be
}

// Fault says which operations fail, hang or are slow.
type Fault struct {
	// Kind selects operations; empty stands for all but reads.
	Kind OpKind
	// Path selects operations on paths that contain it.
	Path string
	// After lets that many of them pass first.
	After int
	// Times bounds how many are hit; 0 stands for all that follow.
	Times int

	// Delay passes before the operation.
	Delay time.Duration
	// Hang keeps the operation from being carried out until Heal; a Crash fails
	// it. In a bubble time stands still when anybody waits for a sync.Mutex that
	// is held meanwhile.
	Hang bool
	// Err, if not nil, is what the operation fails with.
	Err error
}

// ErrPowerLoss is how every operation fails of a program that was running when
// its Disk crashed.
var ErrPowerLoss = errors.New("raftsim: the power was lost")

// NewDisk returns an empty disk without faults.
func NewDisk() *Disk { return newDisk(vfs.NewCrashableMem()) }

func newDisk(mem *vfs.MemFS) *Disk {
	d := &Disk{healed: make(chan struct{})}
	d.now = &mount{disk: d, mem: mem}
	return d
}

// FS returns the disk for Config.FS. It is good until the next Crash.
func (d *Disk) FS() raftstore.FS { return nodeFS{d.mounted()} }

// PebbleFS returns the disk for a log, or a database. It is good until the next
// Crash.
func (d *Disk) PebbleFS() vfs.FS { return d.mounted() }

func (d *Disk) mounted() *mount {
	d.power.RLock()
	defer d.power.RUnlock()
	return d.now
}

// Crash is a loss of power. What was synced is left, and of the rest each block
// and each name with a probability of keep percent, drawn from rng, which may
// be nil if keep is 0. All use of the disk that began before fails from now on
// with ErrPowerLoss; FS and PebbleFS return what is left. Faults are forgotten.
func (d *Disk) Crash(keep int, rng *rand.Rand) {
	d.power.Lock()
	left := d.now.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rng})
	d.now.dead = true
	d.now = &mount{disk: d, mem: left}
	d.power.Unlock()
	d.Heal()
}

// AfterCrash returns disks with what a loss of power that hits all the given
// ones at the same moment would leave, and leaves those as they are. For keep
// and rng see Disk.Crash.
func AfterCrash(keep int, rng *rand.Rand, disks ...*Disk) []*Disk {
	for !tryLock(disks) {
		runtime.Gosched() // waiting for one while holding another could be for ever
	}
	left := make([]*Disk, len(disks))
	for i, d := range disks {
		left[i] = newDisk(d.now.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rng}))
		d.power.Unlock()
	}
	return left
}

// tryLock takes the power of all disks or of none.
func tryLock(disks []*Disk) bool {
	for i, d := range disks {
		if !d.power.TryLock() {
			for _, d := range disks[:i] {
				d.power.Unlock()
			}
			return false
		}
	}
	return true
}

// Inject adds a fault. Of several that select an operation the one that was
// injected last counts.
func (d *Disk) Inject(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, &armed{Fault: f})
}

// Heal forgets all faults. What hangs goes on.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = nil
	close(d.healed)
	d.healed = make(chan struct{})
}

// Watch has f called right before and right after each operation but reads, in
// the goroutine that carries it out. It may use the disk, and so look what a
// crash at this moment would leave. A nil f ends it.
func (d *Disk) Watch(f func(Op)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watch = f
}

// fault returns what shall happen to op, and when faults are forgotten.
func (d *Disk) fault(op Op) (f Fault, healed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.faults {
		if a.Kind != op.Kind && (a.Kind != "" || op.Kind == OpRead) || !strings.Contains(op.Path, a.Path) {
			continue
		}
		a.seen++
		if a.seen > a.After && (a.Times == 0 || a.seen <= a.After+a.Times) {
			f = a.Fault
		}
	}
	return f, d.healed
}

func (d *Disk) watched(op Op) {
	d.mu.Lock()
	f := d.watch
	d.mu.Unlock()
	if f != nil && op.Kind != OpRead {
		f(op)
	}
}
