package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/bcrypt"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/auth"
	"github.com/strakeproject/strake/kv/tree"
)

func open(t *testing.T, s kv.Store) *auth.Authority {
	t.Helper()
	a, err := auth.Open(t.Context(), auth.Config{Store: s, Cost: bcrypt.MinCost})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func local(t *testing.T, dir string) *tree.Local {
	t.Helper()
	s, err := tree.OpenLocal(tree.LocalConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// enable turns auth on for root with the password "top".
func enable(t *testing.T, a *auth.Authority) {
	t.Helper()
	if _, _, err := a.PutUser(t.Context(), auth.UserChange{Name: "root", Password: "top"}); err != nil {
		t.Fatal(err)
	}
	if err := a.Enable(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func as(name, password string) auth.Credentials {
	return auth.Credentials{Given: true, Name: name, Password: password}
}

func TestWhatOneAuthorityChangesOthersFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := local(t, "")
		defer s.Close()
		a, b := open(t, s), open(t, s)
		defer a.Close()
		defer b.Close()
		enable(t, a)
		if !a.Enabled() {
			t.Error("the one that was asked does not know of it at once")
		}
		synctest.Wait()
		if !b.Enabled() {
			t.Error("the other one does not know that auth is on")
		}
		if err := b.CheckAdmin(t.Context(), as("root", "top")); err != nil {
			t.Errorf("root is refused: %v", err)
		}
		if _, _, err := b.PutUser(t.Context(), auth.UserChange{Name: "root", Password: "new"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for password, want := range map[string]error{"top": auth.ErrDenied, "new": nil} {
			if err := a.CheckAdmin(t.Context(), as("root", password)); !errors.Is(err, want) {
				t.Errorf("root with password %q: %v, want %v", password, err, want)
			}
		}
	})
}

func TestUsersSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := local(t, dir)
	a := open(t, s)
	enable(t, a)
	a.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = local(t, dir)
	defer s.Close()
	a = open(t, s)
	defer a.Close()
	if !a.Enabled() || a.CheckAdmin(t.Context(), as("root", "top")) != nil {
		t.Error("after a restart auth is off, or root unknown")
	}
}

func TestChangesAtTheSameTimeAllHappen(t *testing.T) {
	s := local(t, "")
	defer s.Close()
	a, b := open(t, s), open(t, s)
	defer a.Close()
	defer b.Close()
	var wg sync.WaitGroup
	const n = 20
	for i := range n {
		for j, authority := range []*auth.Authority{a, b} {
			wg.Go(func() {
				name := fmt.Sprintf("r%d-%d", i, j)
				if _, err := authority.PutRole(t.Context(), auth.RoleChange{Role: auth.Role{Name: name}}); err != nil {
					t.Errorf("put role %s: %v", name, err)
				}
			})
		}
	}
	wg.Wait()
	if roles, err := a.Roles(t.Context()); err != nil || len(roles) != 2*n+1 {
		t.Errorf("there are %d roles, %v, want %d and root", len(roles), err, 2*n)
	}
}

// fragile is a store whose watches break.
type fragile struct {
	kv.Store
	broken atomic.Bool
	breaks chan context.CancelFunc
}

var errBroken = errors.New("broken")

func (f *fragile) Get(ctx context.Context, key string, opts kv.GetOptions) (kv.Event, error) {
	if f.broken.Load() {
		return kv.Event{}, errBroken
	}
	return f.Store.Get(ctx, key, opts)
}

func (f *fragile) Watch(ctx context.Context, key string, opts kv.WatchOptions) (*kv.Watch, error) {
	ctx, cancel := context.WithCancel(ctx)
	f.breaks <- cancel
	return f.Store.Watch(ctx, key, opts)
}

func TestABrokenWatchIsTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := local(t, "")
		defer s.Close()
		f := &fragile{Store: s, breaks: make(chan context.CancelFunc, 10)}
		a, b := open(t, f), open(t, s)
		defer a.Close()
		defer b.Close()
		f.broken.Store(true)
		(<-f.breaks)()
		synctest.Wait()
		enable(t, b)
		synctest.Wait()
		if a.Enabled() {
			t.Error("auth is on for who cannot know of it")
		}
		f.broken.Store(false)
		defer (<-f.breaks)() // of the new watch
		synctest.Wait()
		if !a.Enabled() {
			t.Error("auth is off for who can look again")
		}
	})
}

func TestAMalformedDocumentChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := local(t, "")
		defer s.Close()
		var log bytes.Buffer
		a, err := auth.Open(t.Context(), auth.Config{Store: s, Cost: bcrypt.MinCost, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		enable(t, a)
		key := documentKey(t, s)
		for _, doc := range []string{"{", `{"version":2,"enabled":false}`, ""} {
			if _, err := s.Set(t.Context(), key, doc, kv.SetOptions{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if !a.Enabled() {
				t.Errorf("%q turned auth off", doc)
			}
			if _, err := auth.Open(t.Context(), auth.Config{Store: s}); err == nil {
				t.Errorf("opened users and roles from %q", doc)
			}
		}
		a.Close()
		if !strings.Contains(log.String(), "malformed users and roles") {
			t.Errorf("logged %q", log.String())
		}
		if _, err := s.Delete(t.Context(), key, kv.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		open(t, s).Close()
	})
}

// documentKey finds the document among the keys that are reserved.
func documentKey(t *testing.T, s kv.Store) string {
	t.Helper()
	w, err := s.Watch(t.Context(), "/", kv.WatchOptions{Recursive: true, From: 1})
	if err != nil {
		t.Fatal(err)
	}
	for ev, err := range w.Events {
		if err != nil {
			t.Fatal(err)
		}
		if auth.Reserved(ev.Node.Key) {
			return ev.Node.Key
		}
	}
	t.Fatal("there is no document")
	return ""
}

func TestErrorsOfTheStoreArePassedOn(t *testing.T) {
	s := local(t, "")
	defer s.Close()
	f := &fragile{Store: s, breaks: make(chan context.CancelFunc, 1)}
	a := open(t, f)
	defer a.Close()
	f.broken.Store(true)
	for what, call := range map[string]func() error{
		"enable":      func() error { return a.Enable(t.Context()) },
		"put role":    func() error { _, err := a.PutRole(t.Context(), auth.RoleChange{}); return err },
		"list users":  func() error { _, err := a.Users(t.Context()); return err },
		"delete user": func() error { return a.DeleteUser(t.Context(), "x") },
	} {
		if err := call(); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v, want %v", what, err, errBroken)
		}
	}
}
