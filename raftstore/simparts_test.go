package raftstore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

func jsonMarshal(v any) ([]byte, error)   { return json.Marshal(v) }
func jsonUnmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

// simTransport puts what a member sends into the simulated network.
type simTransport struct{ host *simHost }

func (t *simTransport) Start(_ Member, _ uint64, h Handler) error {
	t.host.h = h
	return nil
}

func (t *simTransport) SetPeer(Member)    {}
func (t *simTransport) RemovePeer(uint64) {}
func (t *simTransport) Stop()             {}

func (t *simTransport) Send(m Message) {
	s := t.host.sim
	if t.peer(m.To) == nil {
		t.host.h.Unreachable(m.To)
		return
	}
	s.network = append(s.network, letter{from: t.host.node.id, to: m.To, data: m.Data})
}

func (t *simTransport) Forward(context.Context, uint64, [][]byte) ([]Outcome, error) {
	return nil, ErrDropped // clients of the simulator go to the leader
}

// peer returns the host of a member if both accept each other, as transports
// find out when they connect.
func (t *simTransport) peer(id uint64) *simHost {
	self := t.host.node
	if self == nil {
		return nil
	}
	for _, h := range t.host.sim.hosts {
		if h.node == nil || h.node.id != id {
			continue
		}
		if err := h.h.Contact(Member{ID: self.id, Storage: self.storage}); err != nil {
			t.host.h.Refused(err)
			return nil
		}
		if t.host.h.Contact(Member{ID: id, Storage: h.node.storage}) != nil {
			return nil
		}
		return h
	}
	return nil
}

func (t *simTransport) SendSnapshot(_ context.Context, to uint64, head []byte, dir string) error {
	peer := t.peer(to)
	if peer == nil || t.host.sim.lost(t.host.node.id, to) {
		return errors.New("no way there")
	}
	target, err := peer.h.BeginSnapshot(head)
	if err != nil {
		return err
	}
	if t.host.sim.chance(2000) && !t.host.sim.calm {
		return peer.h.EndSnapshot(head, errors.New("connection lost"))
	}
	return peer.h.EndSnapshot(head, t.host.fs.copyTo(peer.fs, dir, target))
}

// memFS is a FS in memory. All it does is durable at once, unless its host
// crashes.
type memFS struct {
	host  *simHost
	files map[string][]byte
}

// crashPerFile is how often in 10,000 changes of a file the host crashes.
const crashPerFile = 200

func (f *memFS) MkdirAll(string) error { return nil }

func (f *memFS) ReadFile(path string) ([]byte, error) {
	b, ok := f.files[path]
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return b, nil
}

func (f *memFS) WriteFile(path string, data []byte) error {
	return f.host.write(crashPerFile, func() error {
		f.files[path] = slices.Clone(data)
		return nil
	})
}

func (f *memFS) below(dir string) []string {
	var paths []string
	for p := range f.files {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			paths = append(paths, p)
		}
	}
	sort.Strings(paths)
	return paths
}

func (f *memFS) Rename(from, to string) error {
	return f.host.write(crashPerFile, func() error {
		for _, p := range f.below(from) {
			f.files[to+strings.TrimPrefix(p, from)] = f.files[p]
			delete(f.files, p)
		}
		return nil
	})
}

func (f *memFS) RemoveAll(path string) error {
	return f.host.write(crashPerFile, func() error {
		for _, p := range f.below(path) {
			delete(f.files, p)
		}
		return nil
	})
}

func (f *memFS) List(dir string) ([]string, error) {
	names := make(map[string]bool)
	for _, p := range f.below(dir) {
		name, _, _ := strings.Cut(strings.TrimPrefix(p, dir+"/"), "/")
		names[name] = true
	}
	var list []string
	for n := range names {
		list = append(list, n)
	}
	sort.Strings(list)
	return list, nil
}

func (f *memFS) copyTo(other *memFS, from, to string) error {
	for _, p := range other.below(to) {
		delete(other.files, p)
	}
	for _, p := range f.below(from) {
		other.files[to+strings.TrimPrefix(p, from)] = slices.Clone(f.files[p])
	}
	return nil
}

// simLog is a LogStore of which a crash takes what was not synced, from some
// group on.
type simLog struct {
	host     *simHost
	synced   logImage
	unsynced []LogGroup
	now      logImage
}

// logImage is the content of a log.
type logImage struct {
	hard    HardState
	base    LogPosition
	entries []LogEntry
}

func (im *logImage) apply(g LogGroup) error {
	if g.Base != nil {
		im.base, im.entries = *g.Base, nil
	}
	if g.Trim != nil {
		if g.Trim.Index < im.base.Index || g.Trim.Index > im.last() {
			return fmt.Errorf("trim to %d outside of the log", g.Trim.Index)
		}
		im.entries = slices.Clone(im.entries[g.Trim.Index-im.base.Index:])
		im.base = *g.Trim
	}
	if len(g.Entries) > 0 {
		first := g.Entries[0].Index
		if first <= im.base.Index || first > im.last()+1 {
			return fmt.Errorf("entry %d does not continue a log from %d to %d", first, im.base.Index, im.last())
		}
		im.entries = append(im.entries[:first-im.base.Index-1:first-im.base.Index-1], g.Entries...)
	}
	if g.Hard != nil {
		im.hard = *g.Hard
	}
	return nil
}

func (im *logImage) last() uint64 { return im.base.Index + uint64(len(im.entries)) }

func (l *simLog) State() (LogState, error) {
	return LogState{Hard: l.now.hard, Base: l.now.base, Last: l.now.last()}, nil
}

func (l *simLog) Append(g LogGroup, sync bool) error {
	often := 1
	if g.Base != nil {
		often = 2000 // a member begins, or installs a snapshot
	}
	return l.host.write(often, func() error {
		if err := l.now.apply(g); err != nil {
			return err
		}
		l.unsynced = append(l.unsynced, g)
		if sync && l.host.sim.mutation != skipSync {
			l.keep(len(l.unsynced))
		}
		return nil
	})
}

// keep makes the first n unsynced groups durable.
func (l *simLog) keep(n int) {
	for _, g := range l.unsynced[:n] {
		if err := l.synced.apply(g); err != nil {
			panic(err) // it went well on the same image before
		}
	}
	l.unsynced = l.unsynced[n:]
}

func (l *simLog) crash() {
	l.keep(l.host.sim.rng.IntN(len(l.unsynced) + 1))
	l.unsynced = nil
	l.now = l.synced
	l.now.entries = slices.Clone(l.synced.entries)
}

func (l *simLog) Entries(lo, hi, maxBytes uint64) ([]LogEntry, error) {
	if lo <= l.now.base.Index || hi > l.now.last()+1 {
		return nil, fmt.Errorf("%w: entries %d to %d of a log from %d to %d", ErrCorrupt, lo, hi, l.now.base.Index, l.now.last())
	}
	var entries []LogEntry
	var size uint64
	for _, e := range l.now.entries[lo-l.now.base.Index-1 : hi-l.now.base.Index-1] {
		if size += uint64(len(e.Data)); size > maxBytes && len(entries) > 0 {
			break
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (l *simLog) Close() error { return nil }

// simState is a Snapshotter that lists the commands it has applied. A crash
// takes it back to some batch since the last flush.
type simState struct {
	host    *simHost
	dir     string
	ids     []uint64
	pos     Position
	batches []simBatch // since the last flush, which is the first
}

// simBatch is how far the state was at a position.
type simBatch struct {
	pos Position
	ids int
}

const simStateFile = "/ids"

func (m *simState) Open(_ context.Context, dir string) (Position, error) {
	if dir != m.dir {
		// Installed just before a crash, or new.
		m.dir, m.ids, m.pos = dir, nil, Position{}
		if b, err := m.host.fs.ReadFile(dir + simStateFile); err == nil {
			return m.load(b)
		}
		m.batches = []simBatch{{}}
	}
	return m.pos, nil
}

func (m *simState) Apply(cmds []Command, pos Position) ([][]byte, error) {
	if pos.Index <= m.pos.Index {
		return nil, fmt.Errorf("batch up to %d after one up to %d", pos.Index, m.pos.Index)
	}
	results := make([][]byte, len(cmds))
	for i, c := range cmds {
		id := binary.BigEndian.Uint64(c.Data)
		at := place{c.Index, c.Seq}
		if other, ok := m.host.sim.applied[at]; ok && other != id {
			m.host.sim.fail("%s applied command %d at %v, another member applied %d there", m.host.name, id, at, other)
		}
		m.host.sim.applied[at] = id
		m.ids = append(m.ids, id)
		results[i] = c.Data
	}
	m.pos = pos
	m.batches = append(m.batches, simBatch{pos, len(m.ids)})
	return results, nil
}

func (m *simState) Durable() uint64 { return m.batches[0].pos.Index }

func (m *simState) Flush(context.Context) error {
	m.batches = m.batches[len(m.batches)-1:]
	return nil
}

func (m *simState) crash() {
	if len(m.batches) == 0 {
		return
	}
	n := m.host.sim.rng.IntN(len(m.batches))
	m.pos, m.ids = m.batches[n].pos, m.ids[:m.batches[n].ids:m.batches[n].ids]
	m.batches = []simBatch{{m.pos, len(m.ids)}}
}

// simImage is a checkpoint.
type simImage struct {
	IDs []uint64
	Pos Position
}

func (m *simState) Checkpoint(_ context.Context, dir string) (Position, error) {
	pos := m.pos
	switch m.host.sim.mutation {
	case imageBehind:
		pos.Index--
	case imageAhead:
		pos.Index++
	}
	b, err := json.Marshal(simImage{m.ids, pos})
	if err != nil {
		return Position{}, err
	}
	return pos, m.host.fs.WriteFile(filepath.Join(dir, simStateFile), b)
}

func (m *simState) Install(_ context.Context, dir string) (Position, error) {
	b, err := m.host.fs.ReadFile(dir + simStateFile)
	if err != nil {
		return Position{}, err
	}
	m.dir = dir
	m.host.sim.counts["snapshot"]++
	return m.load(b)
}

func (m *simState) load(b []byte) (Position, error) {
	var im simImage
	if err := json.Unmarshal(b, &im); err != nil {
		return Position{}, err
	}
	m.ids, m.pos = im.IDs, im.Pos
	m.batches = []simBatch{{m.pos, len(m.ids)}}
	return m.pos, nil
}

func (m *simState) Close() error { return m.Flush(context.Background()) }
