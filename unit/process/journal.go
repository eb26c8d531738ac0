//go:build linux

package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/unit"
)

// journal holds the latest lines of one unit, in memory and, given a path, in a
// file that holds at least the same lines.
//
// Any goroutine may add and read. The runner counts references, so that readers
// that follow a unit stay on its journal while it is unloaded and loaded again.
type journal struct {
	unit string
	path string // of the file; empty: memory only
	max  int64  // bytes of entries to keep
	log  *slog.Logger
	refs int // protected by Runner.mu

	mu      sync.Mutex
	entries []unit.JournalEntry // oldest first
	first   int64               // number of entries[0], counted from the journal's beginning
	bytes   int64               // of entries
	file    *os.File            // nil until the first line, and after an error
	written int64               // size of file
	broken  error               // why lines are no longer written to the file
	more    chan struct{}       // closed, and replaced, when entries are added
}

// entryOverhead is what an entry counts besides its message.
const entryOverhead = 64

// maxLine is where longer lines are split, as in systemd's journal.
const maxLine = 48 << 10

// record is an entry as it stands in the file: one JSON object a line.
type record struct {
	Time       time.Time `json:"time"`
	Identifier string    `json:"id"`
	PID        int       `json:"pid,omitempty"`
	Message    string    `json:"message"`
}

// openJournal reads back what the file at path holds. Path may be empty.
func openJournal(name, path string, max int64, log *slog.Logger) (*journal, error) {
	j := &journal{unit: name, path: path, max: max, log: log, more: make(chan struct{})}
	if path == "" {
		return j, nil
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var r record
		if json.Unmarshal(line, &r) != nil {
			continue // cut short by a crash
		}
		j.keep(unit.JournalEntry{Time: r.Time, Unit: name, Identifier: r.Identifier, PID: r.PID, Message: r.Message})
	}
	return j, nil
}

// keep adds an entry and drops the oldest beyond the limit. The caller holds mu.
func (j *journal) keep(e unit.JournalEntry) {
	j.entries = append(j.entries, e)
	j.bytes += entryOverhead + int64(len(e.Message))
	drop := 0
	for ; j.bytes > j.max && drop < len(j.entries)-1; drop++ {
		j.bytes -= entryOverhead + int64(len(j.entries[drop].Message))
	}
	if drop > 0 {
		j.entries, j.first = slices.Delete(j.entries, 0, drop), j.first+int64(drop)
	}
}

// add appends lines of one writer.
func (j *journal) add(identifier string, pid int, messages ...string) {
	if len(messages) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	added := make([]unit.JournalEntry, 0, len(messages))
	for _, m := range messages {
		added = append(added, unit.JournalEntry{
			Time: time.Now(), Unit: j.unit, Identifier: identifier, PID: pid, Message: strings.ToValidUTF8(m, "\uFFFD"),
		})
	}
	for _, e := range added {
		j.keep(e)
	}
	close(j.more)
	j.more = make(chan struct{})
	if j.path != "" && j.broken == nil {
		if j.broken = j.write(added); j.broken != nil {
			j.closeFile()
			j.log.Error("journal goes on in memory only", "unit", j.unit, "err", j.broken)
		}
	}
}

// write appends entries to the file, or writes it anew once it has grown to
// twice the limit. The caller holds mu.
func (j *journal) write(entries []unit.JournalEntry) error {
	if j.file == nil || j.written > 2*j.max {
		j.closeFile()
		entries = j.entries
		f, err := os.CreateTemp(filepath.Dir(j.path), ".new-*")
		if err != nil {
			return err
		}
		if err := os.Rename(f.Name(), j.path); err != nil {
			return errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
		j.file, j.written = f, 0
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, e := range entries {
		if err := enc.Encode(record{e.Time, e.Identifier, e.PID, e.Message}); err != nil {
			return err
		}
	}
	n, err := j.file.Write(b.Bytes())
	j.written += int64(n)
	return err
}

// closeFile closes the file; the next line opens it again. The caller holds mu.
func (j *journal) closeFile() {
	if j.file != nil {
		_ = j.file.Close() // every write was checked
		j.file = nil
	}
}

func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closeFile()
}

// tail is the number of the entry from which on there are n; of the first that
// is kept if n is negative.
func (j *journal) tail(n int) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n < 0 || n > len(j.entries) {
		n = len(j.entries)
	}
	return j.first + int64(len(j.entries)-n)
}

// since gives the entries from number on that are kept, the number after them,
// and a channel that closes when there are more.
func (j *journal) since(number int64) (entries []unit.JournalEntry, next int64, more <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	skip := max(number-j.first, 0)
	return slices.Clone(j.entries[skip:]), j.first + int64(len(j.entries)), j.more
}
