package tree_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
)

// TestTranscripts replays testdata/local. Each directive "do" holds commands,
// one a line, and what each answered:
//
//	set|create|post|update KEY [VALUE] [ttl=D] [dir] [refresh]
//	cas KEY VALUE [prev=V] [index=N] [ttl=D] [refresh]
//	delete KEY [dir] [recursive];  cad KEY [prev=V] [index=N]
//	get KEY [recursive];  index;  sleep D
//	watch NAME KEY [recursive] [from=N];  events NAME
//
// Keys and values may be Go string literals. Times are told from the start of
// the transcript.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/local/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{start: time.Now(), watches: map[string]*collector{}}
				defer func() { s.close(t) }()
				datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
					switch d.Cmd {
					case "open":
						cfg := tree.LocalConfig{}
						if d.HasArg("history") {
							d.ScanArgs(t, "history", &cfg.HistoryEvents)
							cfg.HistoryAge = time.Nanosecond
						}
						s.open(t, cfg)
						return ""
					case "do":
						if s.store == nil {
							s.open(t, tree.LocalConfig{})
						}
						var out strings.Builder
						for line := range strings.Lines(d.Input) {
							out.WriteString(s.do(t, strings.TrimSpace(line)) + "\n")
						}
						return out.String()
					default:
						t.Fatalf("%s: unknown directive %q", d.Pos, d.Cmd)
						return ""
					}
				})
			})
		})
	}
}

type script struct {
	store   *tree.Local
	start   time.Time
	watches map[string]*collector
}

func (s *script) open(t *testing.T, cfg tree.LocalConfig) {
	l, err := tree.OpenLocal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.store = l
}

func (s *script) close(t *testing.T) {
	if s.store == nil {
		return
	}
	for _, c := range s.watches {
		c.cancel()
	}
	if err := s.store.Close(); err != nil {
		t.Error(err)
	}
}

// do runs one line.
func (s *script) do(t *testing.T, line string) string {
	words, opts := parseLine(t, line)
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	ctx := t.Context()
	ttl := opts.duration(t, "ttl")
	cond := kv.Condition{PrevValue: opts["prev"], PrevIndex: opts.uint(t, "index")}
	var ev kv.Event
	var err error
	switch key := arg(1); words[0] {
	case "set":
		ev, err = s.store.Set(ctx, key, arg(2), kv.SetOptions{TTL: ttl, Dir: opts.has("dir"), Refresh: opts.has("refresh")})
	case "create":
		ev, err = s.store.Create(ctx, key, arg(2), kv.CreateOptions{TTL: ttl, Dir: opts.has("dir")})
	case "post":
		ev, err = s.store.CreateInOrder(ctx, key, arg(2), kv.CreateOptions{TTL: ttl, Dir: opts.has("dir")})
	case "update":
		ev, err = s.store.Update(ctx, key, arg(2), kv.UpdateOptions{TTL: ttl, Refresh: opts.has("refresh")})
	case "cas":
		ev, err = s.store.CompareAndSwap(ctx, key, arg(2), cond, kv.UpdateOptions{TTL: ttl, Refresh: opts.has("refresh")})
	case "delete":
		ev, err = s.store.Delete(ctx, key, kv.DeleteOptions{Dir: opts.has("dir"), Recursive: opts.has("recursive")})
	case "cad":
		ev, err = s.store.CompareAndDelete(ctx, key, cond)
	case "get":
		ev, err = s.store.Get(ctx, key, kv.GetOptions{Recursive: opts.has("recursive"), Sorted: true})
	case "index":
		return fmt.Sprint(s.store.Index())
	case "sleep":
		d, err := time.ParseDuration(key)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(d)
		synctest.Wait()
		return "+" + time.Since(s.start).String()
	case "watch":
		return s.watch(arg(1), arg(2), kv.WatchOptions{Recursive: opts.has("recursive"), From: opts.uint(t, "from")})
	case "events":
		synctest.Wait()
		return s.watches[key].take(s)
	default:
		t.Fatalf("unknown command %q", line)
	}
	if err != nil {
		return err.Error()
	}
	return s.event(ev)
}

func (s *script) watch(name, key string, opts kv.WatchOptions) string {
	ctx, cancel := context.WithCancel(context.Background())
	w, err := s.store.Watch(ctx, key, opts)
	if err != nil {
		cancel()
		return err.Error()
	}
	c := &collector{cancel: cancel}
	s.watches[name] = c
	go func() {
		for ev, err := range w.Events {
			c.add(ev, err)
		}
	}()
	return fmt.Sprintf("from %d", w.Index)
}

func (s *script) event(ev kv.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%d] %s %s", ev.Index, ev.Action, s.node(ev.Node))
	if ev.PrevNode != nil {
		fmt.Fprintf(&b, " was %s", s.node(*ev.PrevNode))
	}
	s.children(&b, ev.Node, 1)
	return b.String()
}

func (s *script) children(b *strings.Builder, n kv.Node, depth int) {
	for _, c := range n.Nodes {
		fmt.Fprintf(b, "\n%s%s", strings.Repeat("  ", depth), s.node(c))
		s.children(b, c, depth+1)
	}
}

func (s *script) node(n kv.Node) string {
	b := printable(n.Key)
	if n.Dir {
		b += " dir"
	} else {
		b += fmt.Sprintf(" %q", n.Value)
	}
	b += fmt.Sprintf(" (%d %d", n.CreatedIndex, n.ModifiedIndex)
	if !n.Expiration.IsZero() {
		b += fmt.Sprintf(" until +%v", n.Expiration.Sub(s.start))
	}
	return b + ")"
}

func printable(key string) string {
	if q := strconv.Quote(key); q != `"`+key+`"` {
		return q
	}
	return key
}

// A collector gathers what a watch delivers.
type collector struct {
	cancel context.CancelFunc
	mu     sync.Mutex
	events []kv.Event
	err    error
}

func (c *collector) add(ev kv.Event, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.err = err
		return
	}
	c.events = append(c.events, ev)
}

func (c *collector) take(s *script) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, ev := range c.events {
		lines = append(lines, s.event(ev))
	}
	c.events = nil
	if c.err != nil && !errors.Is(c.err, context.Canceled) {
		lines = append(lines, c.err.Error())
	}
	if len(lines) == 0 {
		return "none"
	}
	return strings.Join(lines, "\n")
}

type options map[string]string

func (o options) has(name string) bool { _, ok := o[name]; return ok }

func (o options) duration(t *testing.T, name string) time.Duration {
	if !o.has(name) {
		return 0
	}
	d, err := time.ParseDuration(o[name])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (o options) uint(t *testing.T, name string) uint64 {
	if !o.has(name) {
		return 0
	}
	n, err := strconv.ParseUint(o[name], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// parseLine splits a line into words and options.
func parseLine(t *testing.T, line string) (words []string, opts options) {
	opts = options{}
	for _, f := range strings.Fields(line) {
		name, value, isOpt := strings.Cut(f, "=")
		switch {
		case strings.HasPrefix(f, `"`):
			s, err := strconv.Unquote(f)
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			words = append(words, s)
		case isOpt, len(words) > 1 && (f == "dir" || f == "recursive" || f == "refresh"):
			opts[name] = value
		default:
			words = append(words, f)
		}
	}
	return words, opts
}
