package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client/migrate"
	"github.com/strakeproject/strake/kv/tree"
)

func local(t testing.TB) *tree.Local {
	t.Helper()
	s, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func set(t testing.TB, s kv.Store, key, value string, ttl time.Duration) {
	t.Helper()
	if _, err := s.Set(context.Background(), key, value, kv.SetOptions{TTL: ttl}); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t testing.TB, s kv.Store, key string, ttl time.Duration) {
	t.Helper()
	if _, err := s.Create(context.Background(), key, "", kv.CreateOptions{Dir: true, TTL: ttl}); err != nil {
		t.Fatal(err)
	}
}

// show lists all below a key, with what is left of times to live in seconds.
func show(t testing.TB, s kv.Store, key string) string {
	t.Helper()
	ev, err := s.Get(context.Background(), key, kv.GetOptions{Recursive: true, Sorted: true})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var walk func(n kv.Node)
	walk = func(n kv.Node) {
		fmt.Fprintf(&b, " %s", n.Key)
		if n.Dir && n.Key != "/" {
			b.WriteByte('/')
		}
		if !n.Dir {
			fmt.Fprintf(&b, "=%s", n.Value)
		}
		if !n.Expiration.IsZero() {
			fmt.Fprintf(&b, ":%d", time.Until(n.Expiration).Round(time.Second)/time.Second)
		}
		for _, c := range n.Nodes {
			walk(c)
		}
	}
	walk(ev.Node)
	return b.String()[1:]
}

func copyAll(t testing.TB, source, target kv.Store, cfg migrate.Config) migrate.Report {
	t.Helper()
	r, err := migrate.Copy(context.Background(), source, target, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expect(t testing.TB, r migrate.Report, want string) {
	t.Helper()
	got := fmt.Sprintf("%d files, %d dirs, %d same, %d expired, %d replaced, %d conflicts",
		r.Files, r.Dirs, r.Same, r.Expired, r.Replaced, len(r.Conflicts))
	if got != want {
		t.Errorf("report: %s\n  want: %s", got, want)
	}
}

func TestEverythingThatShowsIsCopiedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, target := local(t), local(t)
		defer func() { _ = errors.Join(source.Close(), target.Close()) }()
		set(t, source, "/a", "1", 0)
		set(t, source, "/b/c", "2", 90*time.Second)
		mkdir(t, source, "/d", 60*time.Second)
		set(t, source, "/d/x", "3", 0)
		mkdir(t, source, "/empty", 0)
		set(t, source, "/bad", "a\uFFFDb", 0)
		set(t, source, "/_hidden/x", "4", 0)
		set(t, source, "/b/_hidden", "5", 0)
		set(t, target, "/mine", "6", 0)
		time.Sleep(10 * time.Second)

		r := copyAll(t, source, target, migrate.Config{})
		expect(t, r, "4 files, 3 dirs, 0 same, 0 expired, 1 replaced, 0 conflicts")
		if r.Index != source.Index() {
			t.Errorf("copied as of %d, want %d", r.Index, source.Index())
		}
		want := "/ /a=1 /b/ /b/c=2:80 /bad=a\uFFFDb /d/:50 /d/x=3 /empty/ /mine=6"
		if got := show(t, target, "/"); got != want {
			t.Errorf("target holds %s\n        want %s", got, want)
		}
		time.Sleep(10 * time.Second)
		before := target.Index()
		expect(t, copyAll(t, source, target, migrate.Config{}), "0 files, 0 dirs, 7 same, 0 expired, 1 replaced, 0 conflicts")
		if got := target.Index(); got != before {
			t.Errorf("a second copy wrote %d times, want 0", got-before)
		}
		// What has changed since is brought.
		set(t, source, "/a", "7", 0)
		set(t, source, "/b/c", "2", 500*time.Second)
		if _, err := source.Update(t.Context(), "/d", "", kv.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		expect(t, copyAll(t, source, target, migrate.Config{}), "2 files, 1 dirs, 4 same, 0 expired, 1 replaced, 0 conflicts")
		want = "/ /a=7 /b/ /b/c=2:500 /bad=a\uFFFDb /d/ /d/x=3 /empty/ /mine=6"
		if got := show(t, target, "/"); got != want {
			t.Errorf("target holds %s\n        want %s", got, want)
		}
		expect(t, copyAll(t, source, target, migrate.Config{Keys: []string{"/_hidden", "/b/_hidden"}}),
			"2 files, 1 dirs, 0 same, 0 expired, 0 replaced, 0 conflicts")
		if got := show(t, target, "/_hidden"); got != "/_hidden/ /_hidden/x=4" {
			t.Errorf("hidden in target: %s", got)
		}
	})
}

func TestNodesOfAnotherKindAreReportedAndLeft(t *testing.T) {
	source, target := local(t), local(t)
	defer func() { _ = errors.Join(source.Close(), target.Close()) }()
	set(t, source, "/file", "1", 0)
	set(t, source, "/dir/x", "1", 0)
	set(t, source, "/ok", "1", 0)
	set(t, target, "/file/x", "2", 0)
	set(t, target, "/dir", "2", 0)
	r := copyAll(t, source, target, migrate.Config{})
	expect(t, r, "1 files, 0 dirs, 0 same, 0 expired, 0 replaced, 3 conflicts")
	var keys []string
	for _, c := range r.Conflicts {
		keys = append(keys, c.Key)
	}
	slices.Sort(keys)
	if want := []string{"/dir", "/dir/x", "/file"}; !slices.Equal(keys, want) {
		t.Errorf("conflicts at %q, want %q", keys, want)
	}
	if got, want := show(t, target, "/"), "/ /dir=2 /file/ /file/x=2 /ok=1"; got != want {
		t.Errorf("target holds %s, want %s", got, want)
	}
}

// failing is a store whose writes fail after some.
type failing struct {
	kv.Store
	left atomic.Int64
}

var errFull = errors.New("no more")

func (f *failing) Set(ctx context.Context, key, value string, o kv.SetOptions) (kv.Event, error) {
	if f.left.Add(-1) < 0 {
		return kv.Event{}, errFull
	}
	return f.Store.Set(ctx, key, value, o)
}

func TestAnInterruptedCopyGoesOnWhereItStopped(t *testing.T) {
	source, target := local(t), local(t)
	defer func() { _ = errors.Join(source.Close(), target.Close()) }()
	for i := range 100 {
		set(t, source, fmt.Sprintf("/d/%d", i), "v", 0)
	}
	f := &failing{Store: target}
	f.left.Store(30)
	r, err := migrate.Copy(t.Context(), source, f, migrate.Config{})
	if !errors.Is(err, errFull) || r.Files != 30 {
		t.Fatalf("got %v after %d files, want %v after 30", err, r.Files, errFull)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var total atomic.Int64
	r, err = migrate.Copy(ctx, source, target, migrate.Config{Workers: 1, Progress: func(done, of int) {
		total.Store(int64(of))
		if done == 50 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || r.Files >= 70 || total.Load() != 101 {
		t.Fatalf("got %v after %d files of %d, want %v before all", err, r.Files, total.Load(), context.Canceled)
	}
	copyAll(t, source, target, migrate.Config{})
	if got := target.Index(); got != 101 {
		t.Errorf("%d writes in all, want 101", got)
	}
}

func TestAnyTreeIsCopiedWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		source, target := local(t), local(t)
		defer func() { _ = errors.Join(source.Close(), target.Close()) }()
		segment := rapid.SampledFrom([]string{"a", "b", "c"})
		for range rapid.IntRange(0, 30).Draw(rt, "writes") {
			key := kv.Join(rapid.SliceOfN(segment, 1, 4).Draw(rt, "key")...)
			value := rapid.SampledFrom([]string{"", "1", "2"}).Draw(rt, "value")
			store := []kv.Store{source, target}[rapid.IntRange(0, 1).Draw(rt, "store")]
			o := kv.SetOptions{Dir: rapid.IntRange(0, 3).Draw(rt, "dir") == 0}
			_, _ = store.Set(t.Context(), key, value, o) // which need not be possible
		}
		r, err := migrate.Copy(t.Context(), source, target, migrate.Config{Workers: 3})
		if err != nil {
			rt.Fatal(err)
		}
		again, err := migrate.Copy(t.Context(), source, target, migrate.Config{Workers: 3})
		if err != nil || again.Files+again.Dirs > 0 || len(again.Conflicts) != len(r.Conflicts) {
			rt.Errorf("a second copy: %+v, %v; want it to find all there but %d conflicts", again, err, len(r.Conflicts))
		}
	})
}
