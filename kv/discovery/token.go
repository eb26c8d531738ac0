package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// Why a cluster does not come about, with the original's words. A retry is
// useless unless somebody changes the token.
var (
	// ErrSizeNotFound: nobody made the token, or it has expired.
	ErrSizeNotFound = errors.New("discovery: size key not found")
	// ErrBadSize: the size of the cluster is not a number above 0.
	ErrBadSize = errors.New("discovery: size key is bad")
	// ErrFull: the cluster has all its members. The rest may be its proxies.
	ErrFull = errors.New("discovery: cluster is full")
	// ErrDuplicateID: this member has registered before, and lost its data since;
	// or the token was used for another cluster.
	ErrDuplicateID = errors.New("discovery: found duplicate id")
	// ErrDuplicateName: two members have the same name.
	ErrDuplicateName = errors.New("discovery: found duplicate name")
	// ErrInvalidURL: what a member registered is not a list of name=url.
	ErrInvalidURL = errors.New("discovery: invalid URL")
	// ErrBadEndpoint: whoever answers does not serve a key space.
	ErrBadEndpoint = errors.New("discovery: bad discovery endpoint")
)

const (
	// callTimeout bounds one request.
	callTimeout = 5 * time.Second
	// The waits between attempts to reach the service.
	firstWait = 2 * time.Second
	lastWait  = 256 * time.Second
	// lookAgain is after how long nothing but a look tells what has changed: a
	// watch may be silent for reasons of its own.
	lookAgain = 30 * time.Second

	configDir = "_config"
)

// Token is a cluster to be. Its methods are safe for concurrent use; Store and
// Dir must not change.
type Token struct {
	// Store is the key space that the token is in, and Dir its directory there.
	Store kv.Store
	Dir   string
	// Logger hears what is waited for. Default: nobody.
	Logger *slog.Logger

	close func()
}

// Close releases the connections of a Token that came from Dial.
func (t *Token) Close() {
	if t.close != nil {
		t.close()
	}
}

// Self is a member that joins.
type Self struct {
	// ID is computed with the discovery URL for a cluster token: see
	// member.InitialID.
	ID       uint64
	Name     string
	PeerURLs []string
	// Resume says that the member may have registered before without getting as
	// far as having data, so that its own registration is no duplicate.
	Resume bool
}

// Join registers a member and returns the whole cluster once all its members
// have registered. It tries for as long as the service cannot be reached, and
// waits for the others until ctx ends. Whoever is refused leaves no trace.
func (t *Token) Join(ctx context.Context, self Self) (cluster string, err error) {
	id := strconv.FormatUint(self.ID, 16)
	if _, err := t.look(ctx, id); err != nil {
		return "", err
	}
	created, err := t.register(ctx, id, self)
	if err != nil {
		return "", err
	}
	// Whoever answered may not be who took the registration.
	if err := t.awaitChange(ctx, kv.Join(t.Dir, id), created, false); err != nil {
		return "", err
	}
	return t.awaitAll(ctx, id)
}

// Wait returns the whole cluster once all its members have registered.
func (t *Token) Wait(ctx context.Context) (cluster string, err error) { return t.awaitAll(ctx, "") }

// members is who has registered, as of one store index.
type members struct {
	size  int
	nodes []kv.Node // at most size
	index uint64
}

// look reads the token. It fails with ErrFull if there is no room for id; an
// empty id needs none.
func (t *Token) look(ctx context.Context, id string) (members, error) {
	var m members
	ev, err := t.get(ctx, path.Join(configDir, "size"))
	if errors.Is(err, kv.ErrKeyNotFound) {
		return m, ErrSizeNotFound
	}
	if err != nil {
		return m, err
	}
	if m.size, err = strconv.Atoi(ev.Node.Value); err != nil || m.size < 1 {
		return m, fmt.Errorf("%w: %q", ErrBadSize, ev.Node.Value)
	}
	if ev, err = t.get(ctx, ""); err != nil {
		return m, err
	}
	m.index = ev.Index
	m.nodes = slices.DeleteFunc(ev.Node.Nodes, func(n kv.Node) bool { return n.Dir || path.Base(n.Key) == configDir })
	slices.SortFunc(m.nodes, func(a, b kv.Node) int { return cmp.Compare(a.CreatedIndex, b.CreatedIndex) })
	m.nodes = m.nodes[:min(len(m.nodes), m.size)]
	known := slices.ContainsFunc(m.nodes, func(n kv.Node) bool { return path.Base(n.Key) == id })
	if len(m.nodes) == m.size && id != "" && !known {
		return m, ErrFull
	}
	return m, nil
}

// register creates the member's file, and returns the index of that.
func (t *Token) register(ctx context.Context, id string, self Self) (index uint64, err error) {
	key := kv.Join(t.Dir, id)
	value := self.Name + "=" + strings.Join(self.PeerURLs, ","+self.Name+"=")
	resumed := self.Resume
	err = t.try(ctx, "register", func(ctx context.Context) error {
		ev, err := t.Store.Create(ctx, key, value, kv.CreateOptions{})
		if resumed && errors.Is(err, kv.ErrKeyExists) {
			if ev, err = t.Store.Get(ctx, key, kv.GetOptions{}); err == nil && ev.Node.Value != value {
				return ErrDuplicateID
			}
		}
		// The answer to an attempt that did it may be lost.
		resumed = resumed || errors.Is(err, kv.ErrOutcomeUnknown)
		index = ev.Node.CreatedIndex
		return err
	})
	if errors.Is(err, kv.ErrKeyExists) {
		return 0, fmt.Errorf("%w: %s", ErrDuplicateID, id)
	}
	return index, err
}

// awaitAll waits until all members have registered.
func (t *Token) awaitAll(ctx context.Context, id string) (string, error) {
	for {
		m, err := t.look(ctx, id)
		if err != nil {
			return "", err
		}
		if len(m.nodes) == m.size {
			return m.cluster()
		}
		t.log().Info("discovery: waiting for members", "found", len(m.nodes), "size", m.size)
		if err := t.awaitChange(ctx, t.Dir, m.index+1, true); err != nil {
			return "", err
		}
	}
}

// awaitChange returns when something was changed at or below a key, or after
// lookAgain.
func (t *Token) awaitChange(ctx context.Context, key string, from uint64, recursive bool) error {
	watching, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	var w *kv.Watch
	err := t.try(watching, "watch", func(context.Context) error {
		var err error
		w, err = t.Store.Watch(watching, key, kv.WatchOptions{From: from, Recursive: recursive})
		return err
	})
	switch {
	case errors.Is(err, kv.ErrHistoryCleared), watching.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	}
	for _, err := range w.Events {
		if err != nil && watching.Err() == nil {
			t.log().Debug("discovery: watch ended", "key", key, "err", err)
		}
		break
	}
	return ctx.Err()
}

// cluster is the list of members in the form of --initial-cluster.
func (m *members) cluster() (string, error) {
	var list []string
	names := make(map[string]bool)
	for _, n := range m.nodes {
		own := make(map[string]bool)
		for part := range strings.SplitSeq(n.Value, ",") {
			name, s, ok := strings.Cut(part, "=")
			u, err := url.Parse(s)
			if !ok || name == "" || err != nil || u.Host == "" {
				return "", fmt.Errorf("%w: %q", ErrInvalidURL, n.Value)
			}
			own[name] = true
		}
		for name := range own {
			if names[name] {
				return "", fmt.Errorf("%w: %s", ErrDuplicateName, name)
			}
			names[name] = true
		}
		list = append(list, n.Value)
	}
	if len(names) != m.size {
		return "", fmt.Errorf("%w: %d names for %d members", ErrInvalidURL, len(names), m.size)
	}
	return strings.Join(list, ","), nil
}

// get reads a key of the token.
func (t *Token) get(ctx context.Context, name string) (ev kv.Event, err error) {
	err = t.try(ctx, "read", func(ctx context.Context) error {
		var err error
		ev, err = t.Store.Get(ctx, kv.Join(t.Dir, name), kv.GetOptions{})
		return err
	})
	return ev, err
}

// try calls the service until it is reached. Waiting doubles.
func (t *Token) try(ctx context.Context, what string, call func(context.Context) error) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		bounded, cancel := context.WithTimeout(ctx, callTimeout)
		err := call(bounded)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("discovery: %s: %w", what, ctx.Err())
		case !unreachable(err):
			return refusal(err)
		}
		t.log().Warn("discovery: cannot reach the service, will try again", "what", what, "wait", wait, "err", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("discovery: %s: %w, after: %w", what, ctx.Err(), err)
		}
	}
}

// unreachable reports whether a retry may help.
func unreachable(err error) bool {
	if e, ok := errors.AsType[*client.StatusError](err); ok {
		return e.Status >= 500
	}
	_, down := errors.AsType[*client.UnavailableError](err)
	return down || errors.Is(err, kv.ErrInternal) || errors.Is(err, kv.ErrOutcomeUnknown) || errors.Is(err, context.DeadlineExceeded)
}

// refusal passes on what a key space says, and calls everything else no key
// space.
func refusal(err error) error {
	if _, ok := errors.AsType[*kv.Error](err); ok || errors.Is(err, ErrDuplicateID) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBadEndpoint, err)
}

func (t *Token) log() *slog.Logger {
	if t.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.Logger
}
