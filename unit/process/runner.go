//go:build linux

package process

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/unit"
	"golang.org/x/sys/unix"
)

// Config configures a Runner. The zero Config is one that keeps nothing on disk.
type Config struct {
	// Dir keeps the journals, and what it takes to find processes that an
	// earlier runner left when it died. It is created; one runner at a time can
	// have it. Empty: nothing is kept.
	Dir string
	// MachineID and Hostname are what %m and %H stand for; the default is those
	// of the machine.
	MachineID, Hostname string
	// Env is the environment of every process, in the form "NAME=value", before
	// what the unit file sets. Nil means systemd's default PATH and nothing
	// else.
	Env []string
	// JournalBytes is how much is kept of what each unit writes, in memory and,
	// twice over at most, on disk; 0 means 256 KiB.
	JournalBytes int64
	// Logger gets a line for each unit file that is refused or has settings
	// without effect; nil discards them.
	Logger *slog.Logger
}

// runnerVariable marks the environment of every process of a runner.
const runnerVariable = "STRAKE_RUNNER"

// ErrClosed is the cause when a runner is used after Close or Kill.
var ErrClosed = errClosed

// Runner runs units as its own child processes. It implements [unit.Runner].
//
// Each loaded unit has a goroutine, its supervisor; mu protects everything that
// they and the callers share, and is never held while waiting for a process.
type Runner struct {
	host      host
	env       map[string]string // immutable
	id        string            // value of runnerVariable
	dir       string
	maxBytes  int64
	log       *slog.Logger
	lock      *os.File // holds Dir; nil without
	processes *processes
	killed    chan struct{}  // closed by Kill
	wg        sync.WaitGroup // supervisors
	closed    chan struct{}  // closed when Close or Kill has ended everything

	mu       sync.Mutex
	closing  bool // no more loads and starts
	units    map[string]*supervisor
	states   map[string]unit.State // of units
	watchers map[*watcher]struct{}
	journals map[string]*journal // with a reference
	kill     sync.Once
	release  sync.Once
}

var _ unit.Runner = (*Runner)(nil)

// New starts a runner. If Dir belonged to a runner that died, its processes are
// killed first.
func New(cfg Config) (*Runner, error) {
	r := &Runner{
		host:     newHost(cfg.MachineID, cfg.Hostname),
		env:      map[string]string{},
		id:       newID(),
		dir:      cfg.Dir,
		maxBytes: cfg.JournalBytes,
		log:      cfg.Logger,
		killed:   make(chan struct{}),
		closed:   make(chan struct{}),
		units:    map[string]*supervisor{},
		states:   map[string]unit.State{},
		watchers: map[*watcher]struct{}{},
		journals: map[string]*journal{},
	}
	if r.maxBytes == 0 {
		r.maxBytes = 256 << 10
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Env == nil {
		cfg.Env = []string{defaultPath}
	}
	if bad := assign(r.env, cfg.Env); len(bad) > 0 {
		return nil, fmt.Errorf("process runner: Env entry %q is not NAME=value", bad[0])
	}
	if fd, err := openPID(os.Getpid()); err != nil {
		return nil, fmt.Errorf("process runner: needs Linux 5.3: %w", err)
	} else if err := fd.Close(); err != nil {
		return nil, err
	}
	if err := r.openDir(); err != nil {
		return nil, fmt.Errorf("process runner: %w", err)
	}
	r.processes = newProcesses()
	return r, nil
}

func newID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// openDir takes the directory and ends what its last owner left.
func (r *Runner) openDir() error {
	if r.dir == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "journal"), 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(r.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("%s belongs to a running process runner: %w", r.dir, err), lock.Close())
	}
	r.lock = lock
	file := filepath.Join(r.dir, "id")
	last, err := os.ReadFile(file)
	if err == nil && len(last) > 0 {
		r.id = strings.TrimSpace(string(last))
		killAll(carries(runnerVariable + "=" + r.id))
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.WriteFile(file, []byte(r.id+"\n"), 0o600)
	}
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	return nil
}

// Close stops all units as Stop does and ends the runner. When the context ends
// first, what still runs is killed. Either way nothing is left, and Watch and
// Journal end. The error is the context's.
func (r *Runner) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closing = true
	for _, s := range r.units {
		s.orders.stop()
		s.orders.forget = true
		s.wake()
	}
	r.mu.Unlock()
	done := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.Kill()
	<-done
	return err
}

// Kill ends the runner as the loss of the machine would: all processes of all
// units are killed at once, and no unit's ExecStop or restart runs.
func (r *Runner) Kill() {
	r.mu.Lock()
	r.closing = true
	r.mu.Unlock()
	r.kill.Do(func() { close(r.killed) })
	r.processes.kill()
	killAll(carries(runnerVariable + "=" + r.id))
	r.wg.Wait()
	r.release.Do(func() {
		r.processes.close()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, j := range r.journals {
			j.close()
		}
		if r.lock != nil {
			// Closing alone frees the lock only when no child has the file any
			// more, and one that this program forks just now for something else
			// has it until it executes.
			_ = unix.Flock(int(r.lock.Fd()), unix.LOCK_UN)
			_ = r.lock.Close()
		}
		close(r.closed)
	})
}

func (r *Runner) isKilled() bool { return isClosed(r.killed) }

// Load implements [unit.Runner]. A file that cannot run is known all the same,
// with Load "error"; what runs of an older file goes on.
func (r *Runner) Load(_ context.Context, units ...unit.Unit) error {
	return each("load", units, func(u unit.Unit) (string, error) { return u.Name, r.load(u) })
}

// each does op for each item and joins what fails.
func each[T any](op string, items []T, do func(T) (name string, err error)) error {
	var errs []error
	for _, item := range items {
		if name, err := do(item); err != nil {
			errs = append(errs, &unit.RunError{Op: op, Unit: name, Err: err})
		}
	}
	return errors.Join(errs...)
}

func (r *Runner) load(u unit.Unit) error {
	if err := unit.CheckName(u.Name); err != nil {
		return err // nor may it name a file
	}
	svc, bad := parseService(u.Name, u.File, r.host)
	s, err := r.define(u, svc, bad)
	if err != nil {
		return err
	}
	r.note(s, svc, bad)
	return bad
}

// define makes svc what the unit starts next time; it is nil if the file is bad.
func (r *Runner) define(u unit.Unit, svc *service, bad error) (*supervisor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return nil, ErrClosed
	}
	s := r.units[u.Name]
	if s == nil {
		log, err := r.journal(u.Name)
		if err != nil {
			return nil, err
		}
		s = &supervisor{r: r, name: u.Name, log: log, mail: make(chan struct{}, 1)}
		r.units[u.Name] = s
		r.states[u.Name] = unit.State{Name: u.Name, Active: "inactive", Sub: "dead", Result: resultSuccess, Since: time.Now()}
		r.wg.Go(s.run)
	}
	s.orders.service, s.orders.bad = svc, bad
	if s.orders.forget {
		s.orders.forget, s.orders.fresh = false, true
		s.wake()
	}
	state := r.states[u.Name]
	state.Load, state.Hash = "loaded", u.File.Hash()
	if bad != nil {
		state.Load = "error"
	}
	r.publish(state)
	return s, nil
}

// note tells what is wrong with a unit file, or what of it has no effect.
func (r *Runner) note(s *supervisor, svc *service, bad error) {
	switch {
	case bad != nil:
		r.log.Error("unit file refused", "unit", s.name, "err", bad)
		s.say("Unit file refused: %v.", bad)
	case len(svc.ignored) > 0:
		r.log.Warn("settings without effect", "unit", s.name, "settings", svc.ignored)
		s.say("Settings without effect here: %s.", strings.Join(svc.ignored, ", "))
	}
}

// Unload implements [unit.Runner]. It does not wait: the units disappear when
// they are down, and may be loaded again before.
func (r *Runner) Unload(_ context.Context, names ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		if s := r.units[name]; s != nil {
			s.orders.stop()
			s.orders.forget = true
			s.wake()
		}
	}
	return nil
}

// Start implements [unit.Runner].
func (r *Runner) Start(_ context.Context, names ...string) error {
	return each("start", names, func(name string) (string, error) {
		return name, r.order(name, func(s *supervisor) error {
			if s.orders.bad == nil {
				s.orders.start()
			}
			return s.orders.bad
		})
	})
}

// Stop implements [unit.Runner].
func (r *Runner) Stop(_ context.Context, names ...string) error {
	return each("stop", names, func(name string) (string, error) {
		return name, r.order(name, func(s *supervisor) error {
			s.orders.stop()
			return nil
		})
	})
}

// order changes the orders of a loaded unit.
func (r *Runner) order(name string, change func(*supervisor) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.units[name]
	switch {
	case r.closing:
		return ErrClosed
	case s == nil || s.orders.forget:
		return unit.ErrNotLoaded
	}
	defer s.wake()
	return change(s)
}

// States implements [unit.Runner].
func (r *Runner) States(context.Context) ([]unit.State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if isClosed(r.closed) {
		return nil, ErrClosed
	}
	return r.sorted(), nil
}

// sorted lists the states by name. The caller holds mu.
func (r *Runner) sorted() []unit.State {
	list := make([]unit.State, 0, len(r.states))
	for _, name := range slices.Sorted(maps.Keys(r.states)) {
		list = append(list, r.states[name])
	}
	return list
}

// update changes the state of a unit.
func (r *Runner) update(s *supervisor, change func(*unit.State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := r.states[s.name]
	before := state
	if change(&state); state != before {
		r.publish(state)
	}
}

// definition is the latest definition of a unit, nil if it is bad.
func (r *Runner) definition(s *supervisor) *service {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.orders.service
}

// forgotten removes a unit that is down if it is to go and nothing else is
// asked of it meanwhile.
func (r *Runner) forgotten(s *supervisor) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.orders.forget {
		return false
	}
	state := r.states[s.name]
	state.Load = "not-found"
	r.publish(state)
	delete(r.units, s.name)
	delete(r.states, s.name)
	r.leave(s.log)
	return true
}
