//go:build linux

package process

import (
	"context"
	"iter"
	"path/filepath"
	"slices"

	"github.com/strakeproject/strake/unit"
)

// watcher is one reader of states. It holds the latest state of each unit that
// has changed since the reader last looked, oldest change first.
type watcher struct {
	pending []unit.State // protected by Runner.mu; one a unit
	more    chan struct{}
}

// publish records a state and passes it to the watchers. The caller holds mu.
func (r *Runner) publish(state unit.State) {
	r.states[state.Name] = state
	for w := range r.watchers {
		w.pending = slices.DeleteFunc(w.pending, func(s unit.State) bool { return s.Name == state.Name })
		w.pending = append(w.pending, state)
		select {
		case w.more <- struct{}{}:
		default:
		}
	}
}

// Watch implements [unit.Runner]. It ends with the runner, too.
func (r *Runner) Watch(ctx context.Context) iter.Seq[unit.State] {
	return func(yield func(unit.State) bool) {
		w := &watcher{more: make(chan struct{}, 1)}
		r.mu.Lock()
		w.pending = r.sorted()
		r.watchers[w] = struct{}{}
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.watchers, w)
		}()
		for {
			for state, ok := r.next(w); ok && ctx.Err() == nil; state, ok = r.next(w) {
				if !yield(state) {
					return
				}
			}
			if isClosed(r.closed) {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-r.closed: // one more look: what came last is to be seen
			case <-w.more:
			}
		}
	}
}

// next takes the oldest change.
func (r *Runner) next(w *watcher) (state unit.State, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(w.pending) == 0 {
		return unit.State{}, false
	}
	state = w.pending[0]
	w.pending = w.pending[1:]
	return state, true
}

// Journal implements [unit.Runner]. With Dir set, a unit that is not loaded has
// a journal as long as it ever had one; else the error is [unit.ErrNotLoaded].
func (r *Runner) Journal(ctx context.Context, name string, opts unit.JournalOptions) iter.Seq2[unit.JournalEntry, error] {
	return func(yield func(unit.JournalEntry, error) bool) {
		j, err := r.openJournal(name)
		if err != nil {
			yield(unit.JournalEntry{}, &unit.RunError{Op: "read the journal of", Unit: name, Err: err})
			return
		}
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.leave(j)
		}()
		lines := opts.Lines
		if lines == 0 {
			lines = 10
		}
		for from := j.tail(lines); ; {
			entries, next, more := j.since(from)
			for _, e := range entries {
				if ctx.Err() != nil || !yield(e, nil) {
					return
				}
			}
			if from = next; len(entries) > 0 {
				continue
			}
			if !opts.Follow || isClosed(r.closed) {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-r.closed: // one more look: what came last is to be seen
			case <-more:
			}
		}
	}
}

// openJournal gives a reader the journal of a unit that exists or once did.
func (r *Runner) openJournal(name string) (*journal, error) {
	if err := unit.CheckName(name); err != nil {
		return nil, err // nor may it name a file
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if isClosed(r.closed) {
		return nil, ErrClosed
	}
	j, err := r.journal(name)
	if err == nil && r.units[name] == nil && j.tail(0) == 0 {
		r.leave(j)
		return nil, unit.ErrNotLoaded
	}
	return j, err
}

// journal takes a reference to a unit's journal. The caller holds mu.
func (r *Runner) journal(name string) (*journal, error) {
	j := r.journals[name]
	if j == nil {
		path := ""
		if r.dir != "" {
			path = filepath.Join(r.dir, "journal", name)
		}
		var err error
		if j, err = openJournal(name, path, r.maxBytes, r.log); err != nil {
			return nil, err
		}
		r.journals[name] = j
	}
	j.refs++
	return j, nil
}

// leave gives a reference back. The caller holds mu.
func (r *Runner) leave(j *journal) {
	if j.refs--; j.refs == 0 {
		j.close()
		delete(r.journals, j.unit)
	}
}
