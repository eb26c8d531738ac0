package seglog_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/pebblelog"
	"github.com/strakeproject/strake/raftstore/seglog"
)

// BenchmarkAppend appends and syncs groups, and trims as a member does. "warm" is
// a log that has been trimmed before, whose files are used again. cpu-us/op is
// what the process takes, user and system.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []struct{ entries, bytes int }{{1, 300}, {16, 4 << 10}} {
		for _, warm := range []bool{false, true} {
			name := fmt.Sprintf("%dx%d/warm=%v/", size.entries, size.bytes, warm)
			b.Run(name+"seglog", func(b *testing.B) {
				log, err := seglog.Open(filepath.Join(b.TempDir(), "log"), seglog.Options{})
				if err != nil {
					b.Fatal(err)
				}
				benchmarkAppend(b, log, size.entries, size.bytes, warm)
			})
			b.Run(name+"pebblelog", func(b *testing.B) {
				log, err := pebblelog.Open(filepath.Join(b.TempDir(), "log"), pebblelog.Options{})
				if err != nil {
					b.Fatal(err)
				}
				benchmarkAppend(b, log, size.entries, size.bytes, warm)
			})
		}
	}
}

func benchmarkAppend(b *testing.B, log raftstore.LogStore, n, size int, warm bool) {
	defer log.Close()
	w := writer{entries: make([]raftstore.LogEntry, n), every: max(1, (4<<20)/(n*size))}
	for i := range w.entries {
		w.entries[i] = raftstore.LogEntry{Term: 1, Data: make([]byte, size)}
	}
	if warm {
		for written := 0; written < 64<<20; written += 1 << 20 {
			if err := w.append(log, make([]byte, 1<<20)); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(int64(n * size))
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		if err := w.append(log, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// writer appends groups of alike entries, or of a single one.
type writer struct {
	entries []raftstore.LogEntry
	every   int // groups from one trim to the next
	last    uint64
	groups  int
}

func (w *writer) append(log raftstore.LogStore, data []byte) error {
	entries := w.entries
	if data != nil {
		entries = []raftstore.LogEntry{{Term: 1, Data: data}}
	}
	for i := range entries {
		w.last++
		entries[i].Index = w.last
	}
	g := raftstore.LogGroup{Entries: entries}
	if w.groups++; w.groups%w.every == 0 || data != nil {
		g.Trim = &raftstore.LogPosition{Index: w.last - uint64(len(entries)), Term: 1}
	}
	return log.Append(g, true)
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpen opens a log of 256 MiB.
func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "log")
	log, err := seglog.Open(dir, seglog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	const total, size = 256 << 20, 4 << 10
	entries := make([]raftstore.LogEntry, 16)
	for i := range uint64(total / size / 16) {
		for j := range entries {
			entries[j] = raftstore.LogEntry{Index: i*16 + uint64(j) + 1, Term: 1, Data: make([]byte, size)}
		}
		if err := log.Append(raftstore.LogGroup{Entries: entries}, false); err != nil {
			b.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(total)
	for b.Loop() {
		log, err := seglog.Open(dir, seglog.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := log.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
