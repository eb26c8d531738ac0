package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
	"github.com/strakeproject/strake/kv/discovery"
	"github.com/strakeproject/strake/kv/tree"
)

const dir = "/_etcd/registry/t"

func newLocal(t *testing.T) *tree.Local {
	t.Helper()
	l, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// newToken makes a token for size members, which may be any text.
func newToken(t *testing.T, size string) *discovery.Token {
	t.Helper()
	l := newLocal(t)
	if _, err := l.Set(t.Context(), dir+"/_config/size", size, kv.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	return &discovery.Token{Store: l, Dir: dir}
}

func self(i int) discovery.Self {
	return discovery.Self{ID: uint64(0xa0 + i), Name: fmt.Sprintf("n%d", i), PeerURLs: []string{fmt.Sprintf("http://h%d:2380", i)}}
}

func TestMembersFindEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := newToken(t, "3")
		var wg sync.WaitGroup
		clusters := make([]string, 3)
		for i := range clusters {
			wg.Go(func() {
				s := self(i)
				if i == 1 {
					s.PeerURLs = append(s.PeerURLs, "https://h1:7001")
				}
				var err error
				if clusters[i], err = token.Join(t.Context(), s); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // so that they come in order
		}
		wg.Wait()
		want := "n0=http://h0:2380,n1=http://h1:2380,n1=https://h1:7001,n2=http://h2:2380"
		for i, got := range clusters {
			if got != want {
				t.Errorf("member %d got %s, want %s", i, got, want)
			}
		}
		if got, err := token.Wait(t.Context()); got != want || err != nil {
			t.Errorf("a proxy got %s, %v, want %s", got, err, want)
		}
		if _, err := token.Join(t.Context(), self(3)); !errors.Is(err, discovery.ErrFull) {
			t.Errorf("a latecomer got %v, want %v", err, discovery.ErrFull)
		}
		ev, err := token.Store.Get(t.Context(), dir, kv.GetOptions{})
		if err != nil || len(ev.Node.Nodes) != 3 {
			t.Errorf("after a latecomer the token holds %+v, %v", ev.Node.Nodes, err)
		}
	})
}

func TestATokenThatIsOfNoUseSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		name, size string
		others     map[string]string
		self       discovery.Self
		want       error
	}{
		{"no token", "", nil, self(0), discovery.ErrSizeNotFound},
		{"size is no number", "three", nil, self(0), discovery.ErrBadSize},
		{"size is nothing", "0", nil, self(0), discovery.ErrBadSize},
		{"full", "1", map[string]string{"b": "n1=http://h:1"}, self(0), discovery.ErrFull},
		{"registered before", "2", map[string]string{"a0": "n0=http://h0:2380"}, self(0), discovery.ErrDuplicateID},
		{"resumed under another URL", "2", map[string]string{"a0": "n0=http://h0:1"}, discovery.Self{ID: 0xa0, Name: "n0", PeerURLs: []string{"http://h0:2380"}, Resume: true}, discovery.ErrDuplicateID},
		{"name is taken", "2", map[string]string{"b": "n0=http://h:1"}, self(0), discovery.ErrDuplicateName},
		{"other has no name", "2", map[string]string{"b": "http://h:1"}, self(0), discovery.ErrInvalidURL},
		{"other has no URL", "2", map[string]string{"b": "n=h:1"}, self(0), discovery.ErrInvalidURL},
		{"other is two", "2", map[string]string{"b": "n=http://h:1,m=http://h:2"}, self(0), discovery.ErrInvalidURL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLocal(t)
			if tt.size != "" {
				if _, err := l.Set(t.Context(), dir+"/_config/size", tt.size, kv.SetOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			for id, value := range tt.others {
				if _, err := l.Set(t.Context(), kv.Join(dir, id), value, kv.SetOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			token := &discovery.Token{Store: l, Dir: dir}
			if got, err := token.Join(t.Context(), tt.self); !errors.Is(err, tt.want) {
				t.Errorf("got %q, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestAFailedStartDoesNotUseUpTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := newToken(t, "2")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := token.Join(ctx, self(0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("alone it got %v", err)
		}
		var other sync.WaitGroup
		other.Go(func() {
			if _, err := token.Join(t.Context(), self(1)); err != nil {
				t.Error(err)
			}
		})
		defer other.Wait()
		again := self(0)
		again.Resume = true
		if got, err := token.Join(t.Context(), again); err != nil || !strings.HasPrefix(got, "n0=") {
			t.Errorf("resumed it got %q, %v", got, err)
		}
	})
}

// flaky is a store that cannot be reached so many times, and loses the answer to
// a create.
type flaky struct {
	kv.Store
	mu    sync.Mutex
	down  int
	lost  int
	waits []time.Duration
	last  time.Time
}

func (f *flaky) Get(ctx context.Context, key string, o kv.GetOptions) (kv.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.last.IsZero() {
		f.waits = append(f.waits, time.Since(f.last))
	}
	f.last = time.Now()
	if f.down--; f.down >= 0 {
		return kv.Event{}, &client.UnavailableError{}
	}
	return f.Store.Get(ctx, key, o)
}

func (f *flaky) Create(ctx context.Context, key, value string, o kv.CreateOptions) (kv.Event, error) {
	ev, err := f.Store.Create(ctx, key, value, o)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost--; f.lost >= 0 {
		return kv.Event{}, fmt.Errorf("%w: gone", kv.ErrOutcomeUnknown)
	}
	return ev, err
}

func TestAServiceThatIsAwayIsTriedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := newToken(t, "1")
		f := &flaky{Store: token.Store, down: 9, lost: 1}
		token.Store = f
		if _, err := token.Join(t.Context(), self(0)); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 256}
		for i := range want {
			want[i] *= time.Second
		}
		if got := f.waits[:9]; !slices.Equal(got, want) {
			t.Errorf("waits are %v, want %v", got, want)
		}
	})
}
