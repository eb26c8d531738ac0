package tree

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// options returns the settings of the storage engine. There is no WAL: what a
// crash takes is applied again from the raft log.
func (t *Tree) options() *pebble.Options {
	o := &pebble.Options{
		DisableWAL:         true,
		FormatMajorVersion: pebble.FormatValueSeparation,
		FS:                 t.cfg.fs,
		MemTableSize:       32 << 20,
		Logger:             engineLogger{t.cfg.Logger},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { t.fail(err) },
		},
	}
	if t.cfg.InMemory {
		o.MemTableSize = 1 << 20
		o.FS = vfs.NewMem()
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	o.MemTableStopWritesThreshold = 3
	// Memtables are taken out of the cache, so it has to be that much larger.
	o.CacheSize = t.cfg.CacheBytes + 3*int64(o.MemTableSize)
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// fail remembers that the engine lost the ability to write. The next Apply
// returns it.
func (t *Tree) fail(err error) {
	t.cfg.Logger.Error("key space storage failed", slog.Any("err", err))
	t.failed.CompareAndSwap(nil, &err)
}

// engineLogger passes on what Pebble logs.
type engineLogger struct{ log *slog.Logger }

// Infof implements pebble.Logger.
func (l engineLogger) Infof(format string, args ...any) {
	l.log.Debug(fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l engineLogger) Errorf(format string, args ...any) {
	l.log.Error(fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it when it no longer knows
// what is on disk, and must not run on.
func (l engineLogger) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.log.Error(msg)
	panic("tree: storage engine: " + msg)
}
