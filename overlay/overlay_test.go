package overlay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/overlay"
)

// The transcripts run hosts against one store, on the clock of a synctest
// bubble. Each command lets everything settle and then shows what hosts logged
// and what their backends were told.
//
//	set KEY [ttl=DURATION]       write the input below the prefix
//	delete KEY                   remove a key or directory below the prefix
//	fill                         write elsewhere until history is forgotten
//	cut HOST, mend HOST          take its store away from a host, give it back
//	acquire ip= [id=] [data=] [previous=]   one Registry.Acquire
//	start HOST ip= [id=] [data=] [move]     run a Network
//	stop HOST                    end it; its files stay
//	wait DURATION                let time pass
//	backend HOST fail|work       make AddPeer, RemovePeer and SetPeers fail
//	env HOST                     show the subnet file
//	table                        show all leases
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, dir)
				datadriven.RunTest(t, file, c.run)
				c.close()
			})
		})
	}
}

// cluster is the hosts of a transcript.
type cluster struct {
	t     *testing.T
	dir   string // holds subnet files
	store *tree.Local
	hosts map[string]*host

	mu  sync.Mutex
	out map[string]*bytes.Buffer // by host; hosts run at the same time
}

// host is a running Network, and its own backend.
type host struct {
	overlay.Alloc
	*cluster
	name  string
	store *cuttable
	data  json.RawMessage
	stop  context.CancelFunc
	done  chan struct{}
	fail  bool // guarded by cluster.mu
}

const prefix = "/coreos.com/network/"

func newCluster(t *testing.T, dir string) *cluster {
	store, err := tree.OpenLocal(tree.LocalConfig{HistoryEvents: 10, HistoryAge: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{t: t, dir: dir, store: store, hosts: map[string]*host{}, out: map[string]*bytes.Buffer{}}
}

func (c *cluster) close() {
	for _, h := range c.hosts {
		h.stop()
		<-h.done
	}
	if err := c.store.Close(); err != nil {
		c.t.Error(err)
	}
}

func (c *cluster) run(t *testing.T, td *datadriven.TestData) string {
	if err := c.command(td); err != nil {
		c.printf("", "error: %v\n", err)
	}
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.out)) {
		out.WriteString(c.out[name].String())
	}
	clear(c.out)
	if out.Len() == 0 {
		return "ok\n"
	}
	return out.String()
}

func (c *cluster) command(td *datadriven.TestData) error {
	ctx := c.t.Context()
	var arg string
	if len(td.CmdArgs) > 0 {
		arg = td.CmdArgs[0].Key
	}
	switch td.Cmd {
	case "set":
		ttl, err := time.ParseDuration(argOf(td, "ttl", "0s"))
		if err != nil {
			return err
		}
		_, err = c.store.Set(ctx, prefix+arg, td.Input, kv.SetOptions{TTL: ttl})
		return err
	case "delete":
		_, err := c.store.Delete(ctx, prefix+arg, kv.DeleteOptions{Recursive: true})
		return err
	case "fill":
		for range 50 {
			time.Sleep(time.Second)
			if _, err := c.store.Set(ctx, "/elsewhere", "x", kv.SetOptions{}); err != nil {
				return err
			}
		}
		return nil
	case "cut":
		c.hosts[arg].store.cut()
		return nil
	case "mend":
		c.hosts[arg].store.mend()
		return nil
	case "acquire":
		return c.acquire(ctx, td)
	case "start":
		return c.start(ctx, arg, td)
	case "stop":
		c.hosts[arg].stop()
		<-c.hosts[arg].done
		return nil
	case "wait":
		d, err := time.ParseDuration(arg)
		time.Sleep(d)
		return err
	case "backend":
		c.mu.Lock()
		defer c.mu.Unlock()
		c.hosts[arg].fail = td.CmdArgs[1].Key == "fail"
		return nil
	case "env":
		text, err := os.ReadFile(c.envFile(arg))
		c.printf("", "%s", text)
		return err
	case "table":
		return c.table(ctx)
	}
	return fmt.Errorf("unknown command %q", td.Cmd)
}

func (c *cluster) registry(name string, store kv.Store) *overlay.Registry {
	return overlay.NewRegistry(store, overlay.RegistryOptions{
		Rand:   func(int) int { return 0 },
		Logger: c.logger(name),
	})
}

func (c *cluster) acquire(ctx context.Context, td *datadriven.TestData) error {
	r := c.registry("registry", c.store)
	cfg, err := r.Config(ctx)
	if err != nil {
		return err
	}
	var previous netip.Prefix
	if text := argOf(td, "previous", ""); text != "" {
		previous = netip.MustParsePrefix(text)
	}
	attrs := overlay.Attributes{PublicIP: netip.MustParseAddr(argOf(td, "ip", "")), MachineID: argOf(td, "id", "")}
	if data := argOf(td, "mac", ""); data != "" {
		attrs.BackendType, attrs.BackendData = "vxlan", macData(data)
	}
	l, err := r.Acquire(ctx, cfg, attrs, previous)
	if err != nil {
		return err
	}
	c.printf("", "%v reservation %v\n", l.Subnet, l.Reservation())
	return nil
}

func (c *cluster) start(ctx context.Context, name string, td *datadriven.TestData) error {
	ctx, stop := context.WithCancel(ctx)
	h := &host{cluster: c, name: name, stop: stop, done: make(chan struct{}), store: newCuttable(c.store), Alloc: overlay.Alloc{MTU: 1500}}
	if mac := argOf(td, "mac", ""); mac != "" {
		h.data = macData(mac)
	}
	c.hosts[name] = h
	n, err := overlay.NewNetwork(overlay.NetworkOptions{
		Registry:   c.registry(name, h.store),
		Backend:    h.backend,
		PublicIP:   netip.MustParseAddr(argOf(td, "ip", "")),
		MachineID:  argOf(td, "id", ""),
		SubnetFile: c.envFile(name),
		Move:       td.HasArg("move"),
		Logger:     c.logger(name),
		Notify: func(s overlay.Status) {
			c.printf(name, "%s: status: %s %v peers %d synced %v\n", name, s.Phase, s.Lease.Subnet, s.Peers, s.Synced)
		},
	})
	if err != nil {
		return err
	}
	go func() {
		defer close(h.done)
		c.printf(name, "%s: ended: %v\n", name, n.Run(ctx))
	}()
	return nil
}

func (c *cluster) table(ctx context.Context) error {
	ev, err := c.store.Get(ctx, prefix+"subnets", kv.GetOptions{Sorted: true})
	for _, n := range ev.Node.Nodes {
		left := "for ever"
		if !n.Expiration.IsZero() {
			left = time.Until(n.Expiration).Round(time.Second).String()
		}
		c.printf("", "%s %s %s\n", kv.Base(n.Key), left, n.Value)
	}
	return err
}

func (c *cluster) envFile(name string) string { return filepath.Join(c.dir, name+".env") }

// printf writes to the part of the output that is name's.
func (c *cluster) printf(name, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out[name] == nil {
		c.out[name] = new(bytes.Buffer)
	}
	fmt.Fprintf(c.out[name], format, args...)
}

// logger writes lines without time, as "HOST: LEVEL message key=value".
func (c *cluster) logger(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(lineWriter{c, name}, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Value.Kind() == slog.KindTime {
				return slog.Attr{}
			}
			return a
		},
	}))
}

type lineWriter struct {
	*cluster
	name string
}

func (w lineWriter) Write(p []byte) (int, error) {
	line := strings.NewReplacer("level=", "", "msg=", "").Replace(string(p))
	w.printf(w.name, "%s: %s", w.name, line)
	return len(p), nil
}

func (h *host) backend(cfg overlay.Config) (overlay.Backend, error) {
	if cfg.BackendType != "vxlan" && cfg.BackendType != "alloc" {
		return nil, errors.New("unknown backend type")
	}
	return h, nil
}

func (h *host) Prepare(context.Context, overlay.Config) (overlay.Publication, error) {
	if h.data == nil {
		return overlay.Publication{}, nil
	}
	return overlay.Publication{BackendType: "vxlan", BackendData: h.data}, nil
}

func (h *host) SetPeers(_ context.Context, peers []overlay.Lease) error {
	var names []string
	for _, l := range peers {
		names = append(names, peerName(l))
	}
	return h.told("peers %s", strings.Join(names, ", "))
}

func (h *host) AddPeer(_ context.Context, l overlay.Lease) error {
	return h.told("add %s", peerName(l))
}

func (h *host) RemovePeer(_ context.Context, l overlay.Lease) error {
	return h.told("remove %s", peerName(l))
}

func (h *host) told(format string, args ...any) error {
	h.printf(h.name, h.name+": backend: "+format+"\n", args...)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail {
		return errors.New("network is unreachable")
	}
	return nil
}

func peerName(l overlay.Lease) string {
	return fmt.Sprintf("%v via %v %s", l.Subnet, l.Attributes.PublicIP, l.Attributes.BackendData)
}

func macData(mac string) json.RawMessage {
	return json.RawMessage(`{"VtepMAC":"` + mac + `"}`)
}

func argOf(td *datadriven.TestData, key, missing string) string {
	i := slices.IndexFunc(td.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == key })
	if i < 0 {
		return missing
	}
	return td.CmdArgs[i].Vals[0]
}

// cuttable is a store whose connection can be cut: watches break and every
// operation fails.
type cuttable struct {
	kv.Store
	mu   sync.Mutex
	live context.Context // ends with the cut
	stop context.CancelFunc
}

func newCuttable(store kv.Store) *cuttable {
	c := &cuttable{Store: store}
	c.mend()
	return c
}

func (c *cuttable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live, c.stop = context.WithCancel(context.Background())
}

func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop()
}

// use returns a context that ends with ctx and with the next cut.
func (c *cuttable) use(ctx context.Context) (context.Context, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live.Err() != nil {
		return nil, &kv.Error{Code: kv.CodeRaftInternal, Cause: "connection refused"}
	}
	ctx, stop := context.WithCancel(ctx)
	context.AfterFunc(c.live, stop)
	return ctx, nil
}

func (c *cuttable) Watch(ctx context.Context, key string, opts kv.WatchOptions) (*kv.Watch, error) {
	ctx, err := c.use(ctx)
	if err != nil {
		return nil, err
	}
	return c.Store.Watch(ctx, key, opts)
}

func (c *cuttable) Get(ctx context.Context, key string, opts kv.GetOptions) (kv.Event, error) {
	ctx, err := c.use(ctx)
	if err != nil {
		return kv.Event{}, err
	}
	return c.Store.Get(ctx, key, opts)
}

func (c *cuttable) Create(ctx context.Context, key, value string, opts kv.CreateOptions) (kv.Event, error) {
	ctx, err := c.use(ctx)
	if err != nil {
		return kv.Event{}, err
	}
	return c.Store.Create(ctx, key, value, opts)
}

func (c *cuttable) CompareAndSwap(ctx context.Context, key, value string, cond kv.Condition, opts kv.UpdateOptions) (kv.Event, error) {
	ctx, err := c.use(ctx)
	if err != nil {
		return kv.Event{}, err
	}
	return c.Store.CompareAndSwap(ctx, key, value, cond, opts)
}
