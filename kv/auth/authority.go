package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strakeproject/strake/kv"
)

// reserved is the directory that holds what belongs to the service itself, and
// stateKey the document with users and roles in it.
const (
	reserved = "/_strake"
	stateKey = reserved + "/auth"
)

// Reserved reports whether a clean key is one that clients must not reach, or
// of a directory of such keys.
func Reserved(key string) bool { return kv.Below(key, reserved) }

// Config configures an Authority. Store is required.
type Config struct {
	Store kv.Store
	// MaxChecks bounds how many passwords are checked at a time. Default: half
	// as many as there are processors, at least 1.
	MaxChecks int
	// MaxWaiting bounds how many callers wait for such a check to begin. Default
	// 64; negative for none.
	MaxWaiting int
	// Cost is that of the hashes of new passwords: 2^Cost rounds. Default 10, as
	// in the original; 4 is the least, and right for tests alone.
	Cost int
	// Logger hears when users and roles cannot be followed. Default: nobody.
	Logger *slog.Logger
}

func (c *Config) fill() {
	c.MaxWaiting = max(cmp.Or(c.MaxWaiting, 64), 0)
	c.MaxChecks = max(c.MaxChecks, 0)
	c.Cost = cmp.Or(c.Cost, bcryptCost)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// An Authority knows the users and roles of one key space. Its methods are safe
// for concurrent use.
//
//	store --watch--> follow --+
//	change: read, swap -------+--> current --> CheckKey, CheckAdmin
type Authority struct {
	cfg       Config
	passwords *passwords

	mu      sync.Mutex // held to replace current
	current atomic.Pointer[snapshot]

	stop context.CancelFunc
	done chan struct{} // closed when follow has ended
}

// snapshot is the state as of a store index.
type snapshot struct {
	*state
	index uint64 // at which it was stored, or at which there was none
}

// Open reads who there is, and begins to follow changes. The context bounds
// Open alone. Close the Authority.
func Open(ctx context.Context, cfg Config) (*Authority, error) {
	cfg.fill()
	a := &Authority{
		cfg:       cfg,
		passwords: newPasswords(cfg.Cost, cfg.MaxChecks, cfg.MaxWaiting),
		done:      make(chan struct{}),
	}
	a.current.Store(&snapshot{state: &state{}})
	following, stop := context.WithCancel(context.Background())
	a.stop = stop
	watch, err := a.load(ctx, following)
	if err != nil {
		stop()
		return nil, fmt.Errorf("open users and roles: %w", err)
	}
	go a.follow(following, watch)
	return a, nil
}

// Close ends the watch. Checks go on with what is known.
func (a *Authority) Close() {
	a.stop()
	<-a.done
}

// load reads the state and watches what comes after it.
func (a *Authority) load(ctx, watching context.Context) (*kv.Watch, error) {
	s, err := a.read(ctx, kv.GetOptions{})
	if err != nil {
		return nil, err
	}
	a.adopt(s.snapshot)
	return a.cfg.Store.Watch(watching, stateKey, kv.WatchOptions{From: s.asOf + 1})
}

// reading is a state that was read.
type reading struct {
	snapshot
	exists bool
	asOf   uint64 // index that it is as new as
}

func (a *Authority) read(ctx context.Context, opts kv.GetOptions) (reading, error) {
	ev, err := a.cfg.Store.Get(ctx, stateKey, opts)
	if e, ok := errors.AsType[*kv.Error](err); ok && e.Code == kv.CodeKeyNotFound {
		return reading{snapshot: snapshot{&state{}, e.Index}, asOf: e.Index}, nil
	}
	if err != nil {
		return reading{}, err
	}
	s, err := decodeState(ev.Node.Value)
	return reading{snapshot{s, ev.Node.ModifiedIndex}, true, ev.Index}, err
}

// adopt makes a state the current one, unless a newer one is.
func (a *Authority) adopt(s snapshot) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.index > a.current.Load().index {
		a.current.Store(&s)
		a.passwords.forget(s.users)
	}
}

// follow adopts what others change, until ctx ends. While it cannot be told of
// changes, what is known stays.
func (a *Authority) follow(ctx context.Context, watch *kv.Watch) {
	defer close(a.done)
	for {
		for ev, err := range watch.Events {
			if err == nil {
				err = a.adoptEvent(ev)
			}
			if err != nil && ctx.Err() == nil {
				a.cfg.Logger.Info("will read users and roles again", "err", err)
			}
		}
		if watch = a.reload(ctx); watch == nil {
			return
		}
	}
}

func (a *Authority) adoptEvent(ev kv.Event) error {
	s := &state{}
	switch ev.Action {
	case kv.ActionDelete, kv.ActionExpire, kv.ActionCompareAndDelete:
	default:
		var err error
		if s, err = decodeState(ev.Node.Value); err != nil {
			return err
		}
	}
	a.adopt(snapshot{s, ev.Index})
	return nil
}

const (
	minPause = 10 * time.Millisecond
	maxPause = time.Second
)

// reload loads until that succeeds; it returns nil when ctx has ended.
func (a *Authority) reload(ctx context.Context) *kv.Watch {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		watch, err := a.load(ctx, ctx)
		if err == nil {
			return watch
		}
		if ctx.Err() == nil && pause == minPause {
			a.cfg.Logger.Warn("cannot follow users and roles, will try again", "err", err)
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}
