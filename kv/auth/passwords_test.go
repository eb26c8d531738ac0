package auth

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/bcrypt"
)

// busy is passwords whose only slot is taken.
func busy(t *testing.T, maxWaiting int) (p *passwords, release func()) {
	t.Helper()
	p = newPasswords(bcrypt.MinCost, 1, maxWaiting)
	p.slots <- struct{}{}
	return p, func() { <-p.slots }
}

func storedHash(t *testing.T, password string) string {
	t.Helper()
	h, err := newPasswords(bcrypt.MinCost, 1, 0).hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAPasswordThatWasRightCostsNoBcrypt(t *testing.T) {
	hash := storedHash(t, "pw")
	p, release := busy(t, 0)
	release()
	if ok, err := p.check(t.Context(), hash, "pw"); !ok || err != nil {
		t.Fatalf("right password: %v, %v", ok, err)
	}
	p.slots <- struct{}{} // from here on bcrypt fails
	if ok, err := p.check(t.Context(), hash, "pw"); !ok || err != nil {
		t.Errorf("the same again: %v, %v, want it remembered", ok, err)
	}
	if ok, err := p.check(t.Context(), hash, "px"); ok || !errors.Is(err, ErrBusy) {
		t.Errorf("another password: %v, %v, want %v", ok, err, ErrBusy)
	}
	if ok, err := p.check(t.Context(), storedHash(t, "pw"), "pw"); ok || !errors.Is(err, ErrBusy) {
		t.Errorf("the same password for another hash: %v, %v, want %v", ok, err, ErrBusy)
	}
	p.forget(map[string]account{"other": {Hash: "x"}})
	if ok, err := p.check(t.Context(), hash, "pw"); ok || !errors.Is(err, ErrBusy) {
		t.Errorf("after the user has changed: %v, %v, want %v", ok, err, ErrBusy)
	}
}

func TestAWrongPasswordIsNotRemembered(t *testing.T) {
	hash := storedHash(t, "pw")
	p, release := busy(t, 0)
	release()
	for _, wrong := range []string{"", "p", "pww", "PW"} {
		if ok, err := p.check(t.Context(), hash, wrong); ok || err != nil {
			t.Errorf("%q: %v, %v", wrong, ok, err)
		}
	}
	if len(p.right)+len(p.checks) != 0 {
		t.Errorf("remembered: %v, %v", p.right, p.checks)
	}
	if ok, err := p.check(t.Context(), "no hash", "pw"); ok || err != nil {
		t.Errorf("of what is no hash: %v, %v", ok, err)
	}
}

// A crowd with one password waits for one bcrypt, and passes even if whoever
// began it leaves.
func TestACrowdWithOnePasswordCostsOneBcrypt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hash := storedHash(t, "pw")
		p, release := busy(t, 1) // room for one alone
		first, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := p.check(first, hash, "pw"); !errors.Is(err, context.Canceled) {
				t.Errorf("who left was told %v", err)
			}
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				if ok, err := p.check(t.Context(), hash, "pw"); !ok || err != nil {
					t.Errorf("one of the crowd: %v, %v", ok, err)
				}
			})
		}
		synctest.Wait()
		if _, err := p.check(t.Context(), hash, "other"); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v, want %v", err, ErrBusy)
		}
		leave()
		synctest.Wait()
		release()
		wg.Wait()
		if p.waiting != 0 || len(p.checks) != 0 {
			t.Errorf("left behind: %d waiting, checks %v", p.waiting, p.checks)
		}
	})
}

func TestLongPasswordsWorkAsFarAsBcryptGoes(t *testing.T) {
	long := string(make([]byte, 100))
	p := newPasswords(bcrypt.MinCost, 1, 0)
	hash, err := p.hash(t.Context(), long)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := p.check(t.Context(), hash, long); !ok || err != nil {
		t.Errorf("long password: %v, %v", ok, err)
	}
}

// FuzzState decodes arbitrary documents: what is accepted is stored and read
// back as it is.
func FuzzState(f *testing.F) {
	f.Add(`{"version":1,"enabled":true,"users":{"root":{"hash":"x","roles":["root"]}},"roles":{"guest":{"kv":{"read":["/*"],"write":null}}}}`)
	f.Add(`{"version":2}`)
	f.Add(`null`)
	f.Add(`{"version":1,"users":{"\ud800":{}}}`)
	f.Fuzz(func(t *testing.T, doc string) {
		s, err := decodeState(doc)
		if err != nil {
			return
		}
		again, err := decodeState(s.encode())
		if err != nil || again.encode() != s.encode() {
			t.Fatalf("%q became %q, then %v, %v", doc, s.encode(), again, err)
		}
		s.allows([]string{"guest", "root"}, Access{Key: doc, Recursive: true})
	})
}

func BenchmarkCheckKey(b *testing.B) {
	a := &Authority{passwords: newPasswords(bcrypt.MinCost, 1, 0)}
	hash, err := a.passwords.hash(b.Context(), "pw")
	if err != nil {
		b.Fatal(err)
	}
	a.current.Store(&snapshot{state: &state{
		enabled: true,
		users:   map[string]account{"al": {Hash: hash, Roles: []string{"r"}}},
		roles:   map[string]Permissions{"r": everything},
	}})
	cred := Credentials{Given: true, Name: "al", Password: "pw"}
	b.ReportAllocs()
	for b.Loop() {
		if err := a.CheckKey(b.Context(), cred, Access{Key: "/a/b"}); err != nil {
			b.Fatal(err)
		}
	}
}
