package datasource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Options say how Select waits. The zero value waits as the original tool does.
type Options struct {
	// Timeout is how long to wait for a source, 5 minutes by default.
	Timeout time.Duration
	// Grace is how long a source that is there waits for an answer of those
	// before it in the order, 2 seconds by default.
	Grace time.Duration
	// Logger gets a line each time a source is asked; nil discards them.
	Logger *slog.Logger
}

// The times between two looks at a source, and the limits of Select.
const (
	firstPoll      = 100 * time.Millisecond
	slowestPoll    = 30 * time.Second
	defaultTimeout = 5 * time.Minute
	defaultGrace   = 2 * time.Second
)

// ErrNone is wrapped by the error of Select when no source is there in time.
var ErrNone = errors.New("no datasource available")

// Select returns a source that is there.
//
// All are asked at once, and again after 100 ms, doubling to 30 s. Of several
// that are there the first in the order is taken: one that is there is chosen as
// soon as each before it has said no at least once, or has not answered for the
// grace period. Once every source is known never to come, Select ends without
// waiting for the time limit.
//
// The error tells for each source why it was not taken; it wraps ErrNone, or is
// that of the context.
func Select(ctx context.Context, sources []Source, o Options) (Source, error) {
	limit := cmp.Or(o.Timeout, defaultTimeout)
	s := &selection{
		sources: sources,
		logger:  cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		answers: make(chan answer),
		last:    make([]error, len(sources)),
		state:   make([]state, len(sources)),
	}
	polling, stop := context.WithTimeout(ctx, limit)
	var pollers sync.WaitGroup
	defer pollers.Wait()
	defer stop()
	for i := range sources {
		pollers.Go(func() { s.poll(polling, i) })
	}
	if i := s.choose(polling, cmp.Or(o.Grace, defaultGrace)); i >= 0 {
		return sources[i], nil
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("datasource: select: %w", err)
	}
	return nil, s.fail(limit)
}

// selection is one call of Select.
//
//	poll (one per source) -- answers --> choose
//
// The pollers end with the context that choose's caller stops, and that caller
// waits for them.
type selection struct {
	sources []Source
	logger  *slog.Logger
	answers chan answer

	// Owned by choose.
	last  []error // the latest answer of each source
	state []state
}

type answer struct {
	index int
	err   error
}

type state int

const (
	silent state = iota // has not answered yet
	absent              // was not there when it was last asked
	gone                // will never be there
	there
)

// poll asks a source until it is there or never will be.
func (s *selection) poll(ctx context.Context, i int) {
	wait := backoff{first: firstPoll, longest: slowestPoll}
	for {
		s.logger.Info(fmt.Sprintf("Checking availability of %q", s.sources[i].Type()))
		err := s.sources[i].Available(ctx)
		select {
		case s.answers <- answer{i, err}:
		case <-ctx.Done():
			return
		}
		if err == nil || errors.Is(err, ErrNever) || wait.sleep(ctx) != nil {
			return
		}
	}
}

// choose returns the index of the source to take, negative if there is none.
func (s *selection) choose(ctx context.Context, grace time.Duration) int {
	var patience <-chan time.Time // set by the first source that is there
	for s.open() {
		select {
		case a := <-s.answers:
			s.note(a)
			if a.err == nil && patience == nil {
				timer := time.NewTimer(grace)
				defer timer.Stop()
				patience = timer.C
			}
			if i := s.best(silent); i >= 0 {
				return i
			}
		case <-patience:
			return s.best(there)
		case <-ctx.Done():
			return s.best(there)
		}
	}
	return -1
}

func (s *selection) note(a answer) {
	s.last[a.index] = a.err
	switch {
	case a.err == nil:
		s.state[a.index] = there
	case errors.Is(a.err, ErrNever):
		s.state[a.index] = gone
	default:
		s.state[a.index] = absent
	}
	if a.err != nil {
		s.logger.Debug("Not available", "source", s.sources[a.index].Type(), "error", a.err)
	}
}

// best returns the first source that is there, unless one in a state to wait for
// stands before it.
func (s *selection) best(waitFor state) int {
	for i, state := range s.state {
		switch state {
		case there:
			return i
		case waitFor:
			return -1
		}
	}
	return -1
}

// open reports whether any source may still be there.
func (s *selection) open() bool {
	for _, state := range s.state {
		if state != gone {
			return true
		}
	}
	return false
}

// fail says why no source was taken.
func (s *selection) fail(limit time.Duration) error {
	var errs []error
	for i, source := range s.sources {
		if s.state[i] == silent {
			errs = append(errs, fmt.Errorf("%s: no answer", source.Type()))
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", source.Type(), s.last[i]))
	}
	if s.open() {
		return fmt.Errorf("%w within %v: %w", ErrNone, limit, list(errs))
	}
	return fmt.Errorf("%w: %w", ErrNone, list(errs))
}

// list is several errors on one line.
type list []error

func (l list) Error() string {
	if len(l) == 0 {
		return "none is given"
	}
	text := ""
	for i, err := range l {
		if i > 0 {
			text += "; "
		}
		text += err.Error()
	}
	return text
}

func (l list) Unwrap() []error { return l }

// backoff is a wait that doubles.
type backoff struct {
	first, longest time.Duration
	next           time.Duration
}

// sleep waits, each time twice as long, or until the context ends.
func (b *backoff) sleep(ctx context.Context) error {
	b.next = min(max(b.first, 2*b.next), b.longest)
	timer := time.NewTimer(b.next)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
