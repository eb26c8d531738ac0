package reboot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/strakeproject/strake/kv"
)

// Semaphore counts the machines of one group that may be down. It is safe for
// concurrent use, by any number of machines; each change is a compare-and-swap
// that is tried again when another machine was faster.
type Semaphore struct {
	store kv.Store
	key   string
	log   *slog.Logger
}

// SemaphoreOptions configure a Semaphore.
type SemaphoreOptions struct {
	// Group names the machines that share the semaphore. Default: the default
	// group. "." and ".." are refused.
	Group string
	// Logger takes why LockWait waits. Default: nothing is logged.
	Logger *slog.Logger
}

const (
	root = "/coreos.com/updateengine/rebootlock"

	// requestTimeout bounds each request, so that a store that accepts
	// connections and never answers blocks nobody for ever.
	requestTimeout = 30 * time.Second
	// maxUnknown is how often a change is tried again whose outcome is unknown.
	maxUnknown = 3
)

// NewSemaphore returns the semaphore of a group. It reads and writes nothing.
func NewSemaphore(store kv.Store, opts SemaphoreOptions) (*Semaphore, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Semaphore{store: store, key: kv.Join(root, "semaphore"), log: opts.Logger}
	switch opts.Group {
	case "":
	case ".", "..":
		// Escaping leaves these alone, and then they are steps in the path.
		return nil, fmt.Errorf("reboot group %q: not a name", opts.Group)
	default:
		s.key = kv.Join(root, "groups", url.QueryEscape(opts.Group), "semaphore")
	}
	return s, nil
}

// Status reads the semaphore; one that nobody has used yet has one slot, free.
// The answer is no older than the call.
func (s *Semaphore) Status(ctx context.Context) (State, error) {
	r, err := s.read(ctx)
	return r.state, err
}

// Lock takes a slot for holder. It fails with [ErrHolderExists] if holder has
// one and with a [*FullError] if none is free. After any other error it is
// unknown whether holder has a slot; Lock again, and take ErrHolderExists for
// success.
func (s *Semaphore) Lock(ctx context.Context, holder string) error {
	_, err := s.change(ctx, ErrHolderExists, func(st State) (State, error) { return st.lock(holder) })
	return err
}

// Unlock gives back the slot of holder, who need not be the caller. It fails
// with [ErrHolderMissing] if holder has none. After any other error it is
// unknown whether holder still has a slot; a retry is safe.
func (s *Semaphore) Unlock(ctx context.Context, holder string) error {
	_, err := s.change(ctx, ErrHolderMissing, func(st State) (State, error) { return st.unlock(holder) })
	return err
}

// SetMax changes the number of slots and returns what it was. Holders stay;
// while there are too many, Free is negative. With no slots nobody reboots. A
// retry is safe.
func (s *Semaphore) SetMax(ctx context.Context, slots int) (old int, err error) {
	before, err := s.change(ctx, nil, func(st State) (State, error) { return st.setMax(slots) })
	return before.Max, err
}

// LockWait takes a slot for holder as soon as one is free, or returns at once
// if holder has one. It fails only with ctx: an unreachable store and a value
// that cannot be read are logged and waited out, with tries at first a second and
// at the most a minute apart, until the store says how many slots are taken.
func (s *Semaphore) LockWait(ctx context.Context, holder string) error {
	retry := backoff{min: time.Second, max: time.Minute}
	said := ""
	for {
		err := s.Lock(ctx, holder)
		if err == nil || errors.Is(err, ErrHolderExists) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err.Error() != said {
			said = err.Error()
			s.log.Info("waiting for a slot of the reboot semaphore", "key", s.key, "err", err)
		}
		if _, full := errors.AsType[*FullError](err); full {
			retry.reset() // the store has answered: what comes next is another outage
			if s.waitFree(ctx) == nil {
				continue
			}
		}
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
}

// waitFree returns when a slot was free, or might have been.
func (s *Semaphore) waitFree(ctx context.Context) error {
	r, err := s.read(ctx)
	if err != nil || r.state.Free > 0 {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := s.store.Watch(ctx, s.key, kv.WatchOptions{From: r.index + 1})
	if errors.Is(err, kv.ErrHistoryCleared) {
		return nil
	}
	if err != nil {
		return err
	}
	for ev, err := range w.Events {
		if errors.Is(err, kv.ErrHistoryCleared) {
			return nil
		}
		if err != nil {
			return err
		}
		// An event without a value is the removal of the key: all slots free.
		if st, err := decode(ev.Node.Value); err != nil || st.Free > 0 {
			return nil
		}
	}
	return errors.New("watch ended")
}

// change applies a step to the semaphore and returns the state before it. What
// the step refuses, change returns as it is, except for the refusal applied:
// that is no error if an earlier try may have taken place.
func (s *Semaphore) change(ctx context.Context, applied error, step func(State) (State, error)) (State, error) {
	unknown := 0
	for {
		r, err := s.read(ctx)
		if err != nil {
			return State{}, err
		}
		after, err := step(r.state)
		if err != nil && err == applied && unknown > 0 {
			return r.state, nil
		}
		if err != nil {
			return r.state, err
		}
		err = s.write(ctx, after, r.modified)
		switch {
		case err == nil:
			return r.state, nil
		case errors.Is(err, kv.ErrCompareFailed), errors.Is(err, kv.ErrKeyExists), errors.Is(err, kv.ErrKeyNotFound):
			// Another machine was faster. It has made progress, so this ends.
		case errors.Is(err, kv.ErrOutcomeUnknown) && unknown < maxUnknown && ctx.Err() == nil:
			// The next try reads first, and of two swaps on one index at most
			// one takes place.
			unknown++
		default:
			return r.state, fmt.Errorf("write %s: %w", s.key, err)
		}
	}
}

// reading is what was read, and when.
type reading struct {
	state    State
	modified uint64 // the key's ModifiedIndex; 0 if there is no key
	index    uint64 // the store index of the answer
}

// read reads the state; the initial one if there is no key.
func (s *Semaphore) read(ctx context.Context) (reading, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ev, err := s.store.Get(ctx, s.key, kv.GetOptions{Quorum: true})
	if missing, ok := errors.AsType[*kv.Error](err); ok && errors.Is(err, kv.ErrKeyNotFound) {
		return reading{state: initial(), index: missing.Index}, nil
	}
	if err != nil {
		return reading{}, fmt.Errorf("read %s: %w", s.key, err)
	}
	st, err := decode(ev.Node.Value)
	if err != nil {
		return reading{}, fmt.Errorf("read %s: %w", s.key, err)
	}
	return reading{state: st, modified: ev.Node.ModifiedIndex, index: ev.Index}, nil
}

// write stores a state over the one that was last modified at an index.
func (s *Semaphore) write(ctx context.Context, st State, modified uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	value, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if modified == 0 {
		_, err = s.store.Create(ctx, s.key, string(value), kv.CreateOptions{})
	} else {
		_, err = s.store.CompareAndSwap(ctx, s.key, string(value), kv.Condition{PrevIndex: modified}, kv.UpdateOptions{})
	}
	return err
}
