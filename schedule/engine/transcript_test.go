package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/engine"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// machineTTL is how long a machine outlasts its last heartbeat.
const machineTTL = 30 * time.Second

// TestTranscripts replays testdata, each file in a world of its own where time
// is fake. Commands:
//
//	engine ID            an engine starts; stop ID: it ends as it should;
//	                     cut ID: it cannot reach the registry any more; heal ID;
//	                     crash ID: it ends without being able to say so
//	join ID [k=v ...]    a machine joins and sends heartbeats; die ID: they end;
//	                     leave ID: it says so; metadata ID k=v
//	mute ID ...          machines cannot reach the registry; beat ID ...: they do
//	mark ID STATE        what a machine is open for
//	rebalance GOAL N     an order to move N units at most
//	submit UNIT [STATE]  a unit is created with the [X-Fleet] options given, and
//	                     launched, or in STATE; replace UNIT: with new options
//	target UNIT STATE    its target state is changed; destroy UNIT
//	place UNIT ID        somebody else schedules the unit; unplace UNIT ID
//	wait DURATION        time passes
//	show                 what is scheduled where, and what goes with it
//	explain UNIT         why a unit is not placed, from the registry alone
//
// Each answers with what the engines logged meanwhile: when, counted from the
// command, who, and what.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer w.end()
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				w.startCommand()
				out, err := w.run(t, d)
				synctest.Wait()
				if err != nil {
					out += "error: " + err.Error() + "\n"
				}
				return w.takeLog() + out
			})
		})
	})
}

// world is a store with engines and machines.
type world struct {
	ctx      context.Context
	store    *tree.Local
	reg      *registry.Registry // the users'
	engines  map[string]*runningEngine
	machines map[string]*runningMachine
	running  sync.WaitGroup

	mu    sync.Mutex
	start time.Time // of the command; protected by mu
	log   []logLine // protected by mu
}

type logLine struct {
	after time.Duration
	who   string
	text  string
}

type runningEngine struct {
	outage *outage
	cancel context.CancelFunc
	done   chan struct{}
}

type runningMachine struct {
	presence *registry.Presence
	die      context.CancelFunc
	muted    atomic.Bool
}

func newWorld(t *testing.T) *world {
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		ctx:      t.Context(),
		store:    store,
		reg:      registry.New(store, registry.Options{}),
		engines:  map[string]*runningEngine{},
		machines: map[string]*runningMachine{},
	}
}

func (w *world) end() {
	for _, e := range w.engines {
		e.cancel()
		<-e.done
	}
	for _, m := range w.machines {
		m.die()
	}
	w.running.Wait()
	w.store.Close()
}

func (w *world) run(t *testing.T, d *datadriven.TestData) (string, error) {
	var args []string
	for _, a := range d.CmdArgs {
		args = append(args, a.String())
	}
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	name := arg(0)
	switch d.Cmd {
	case "engine":
		return "", w.startEngine(name)
	case "stop":
		return "", w.stopEngine(name)
	case "cut", "heal":
		w.engines[name].outage.set(d.Cmd == "cut")
	case "crash":
		w.engines[name].outage.set(true)
		return "", w.stopEngine(name)
	case "join":
		return "", w.join(name, args[1:])
	case "die":
		w.machines[name].die()
	case "leave":
		w.machines[name].die()
		return "", w.machines[name].presence.Leave(w.ctx)
	case "mute":
		for _, id := range args {
			w.machines[id].muted.Store(true)
		}
	case "beat":
		for _, id := range args {
			w.machines[id].muted.Store(false)
			if err := w.machines[id].presence.Beat(w.ctx); err != nil {
				return "", err
			}
		}
	case "mark":
		state, err := registry.ParseMachineState(arg(1))
		if err != nil {
			return "", err
		}
		return "", w.reg.SetMachineState(w.ctx, name, state)
	case "rebalance":
		goal, err := registry.ParseGoal(name)
		if err != nil {
			return "", err
		}
		budget, err := strconv.Atoi(arg(1))
		if err != nil {
			return "", err
		}
		return "", w.reg.OrderRebalance(w.ctx, schedule.Rebalance{Goal: goal, Budget: budget})
	case "metadata":
		k, v, _ := strings.Cut(arg(1), "=")
		return "", w.reg.SetMetadata(w.ctx, name, k, v)
	case "submit", "replace":
		f, err := unit.Parse([]byte("[Service]\nExecStart=/bin/true\n[X-Fleet]\n" + d.Input + "\n"))
		if err != nil {
			return "", err
		}
		state := registry.State(cmp.Or(arg(1), string(registry.Launched)))
		if d.Cmd == "replace" {
			return "", w.reg.ReplaceUnit(w.ctx, name, f, state)
		}
		return "", w.reg.CreateUnit(w.ctx, name, f, state)
	case "target":
		return "", w.reg.SetTarget(w.ctx, name, registry.State(arg(1)))
	case "destroy":
		return "", w.reg.DestroyUnit(w.ctx, name)
	case "place":
		return "", w.reg.Schedule(w.ctx, name, arg(1))
	case "unplace":
		return "", w.reg.Unschedule(w.ctx, name, arg(1))
	case "wait":
		for _, s := range args {
			span, err := time.ParseDuration(s)
			if err != nil {
				return "", err
			}
			time.Sleep(span)
		}
	case "show":
		return w.show()
	case "explain":
		return w.explain(name)
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
	return "", nil
}

func (w *world) startEngine(id string) error {
	e := &runningEngine{outage: &outage{Store: w.store}, done: make(chan struct{})}
	eng, err := engine.New(engine.Config{
		Registry:  registry.New(e.outage, registry.Options{}),
		MachineID: id,
		Logger:    slog.New(logTo(w, id)),
	})
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, e.cancel = context.WithCancel(w.ctx)
	w.engines[id] = e
	go func() {
		defer close(e.done)
		if err := eng.Run(ctx); err != nil {
			w.addLog(id, "ended: "+err.Error())
		}
	}()
	return nil
}

func (w *world) stopEngine(id string) error {
	e := w.engines[id]
	delete(w.engines, id)
	e.cancel()
	<-e.done
	return nil
}

func (w *world) join(id string, metadata []string) error {
	m := registry.Machine{ID: id, Metadata: map[string]string{}}
	for _, kv := range metadata {
		k, v, _ := strings.Cut(kv, "=")
		if cpu, err := unit.ParseCPU(v); k == "cpu" && err == nil {
			m.Capacity, m.PortRange = &schedule.Resources{CPU: cpu}, [2]uint16{8000, 8099}
			continue
		}
		m.Metadata[k] = v
	}
	p, err := w.reg.Join(w.ctx, m, fmt.Sprint(time.Now().UnixNano()), machineTTL)
	if err != nil {
		return err
	}
	ctx, die := context.WithCancel(w.ctx)
	running := &runningMachine{presence: p, die: die}
	w.machines[id] = running
	w.running.Go(func() {
		tick := time.NewTicker(machineTTL / 2)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if running.muted.Load() {
				continue
			}
			if err := p.Beat(ctx); err != nil && ctx.Err() == nil {
				w.addLog(id, "heartbeat: "+err.Error())
			}
		}
	})
	return nil
}

func (w *world) show() (string, error) {
	units, err := w.reg.Units(w.ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, u := range units {
		fmt.Fprintf(&b, "%s %s %s", u.Name, u.Target, cmp.Or(u.Machine, "-"))
		if u.Pinned != "" {
			b.WriteString(" pinned to " + u.Pinned)
		}
		if len(u.Ports) > 0 {
			fmt.Fprintf(&b, " ports %d", u.Ports)
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

func (w *world) explain(name string) (string, error) {
	c, err := w.cluster()
	if err != nil {
		return "", err
	}
	e, err := schedule.Explain(c, name)
	return e.String(), err
}

// cluster is what the registry has.
func (w *world) cluster() (schedule.Cluster, error) {
	units, err := w.reg.Units(w.ctx)
	if err != nil {
		return schedule.Cluster{}, err
	}
	machines, err := w.reg.Machines(w.ctx)
	if err != nil {
		return schedule.Cluster{}, err
	}
	c := schedule.Cluster{Placed: map[string]string{}}
	for _, u := range units {
		c.Units = append(c.Units, u.Schedulable())
		if u.Machine != "" {
			c.Placed[u.Name] = u.Machine
		}
	}
	for _, m := range machines {
		c.Machines = append(c.Machines, m.Schedulable())
	}
	return c, nil
}

func (w *world) startCommand() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start = time.Now()
}

func (w *world) addLog(who, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, logLine{time.Since(w.start), who, text})
}

func (w *world) takeLog() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortStableFunc(w.log, func(a, b logLine) int {
		return cmp.Or(cmp.Compare(a.after, b.after), strings.Compare(a.who, b.who))
	})
	var b strings.Builder
	for _, l := range w.log {
		fmt.Fprintf(&b, "+%v %s: %s\n", l.after, l.who, l.text)
	}
	w.log = nil
	return b.String()
}

// logTo returns a handler that adds to the world's log.
func logTo(w *world, who string) slog.Handler {
	return slog.NewTextHandler(lineWriter(func(line string) { w.addLog(who, line) }), &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	})
}

type lineWriter func(string)

func (f lineWriter) Write(p []byte) (int, error) {
	line, _ := strings.CutPrefix(strings.TrimSuffix(string(p), "\n"), "msg=")
	f(line)
	return len(p), nil
}

// outage is a store that can be out of reach.
type outage struct {
	kv.Store
	mu   sync.Mutex
	down bool               // protected by mu
	cut  context.CancelFunc // ends the watches there are; protected by mu
	live context.Context    // protected by mu
}

var errOutage = errors.New("no route to host")

func (o *outage) set(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
	if down && o.cut != nil {
		o.cut()
		o.live, o.cut = nil, nil
	}
}

func (o *outage) check() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down {
		return &kv.Error{Code: kv.CodeRaftInternal, Err: errOutage}
	}
	return nil
}

func (o *outage) Get(ctx context.Context, key string, opts kv.GetOptions) (kv.Event, error) {
	if err := o.check(); err != nil {
		return kv.Event{}, err
	}
	return o.Store.Get(ctx, key, opts)
}

func (o *outage) Create(ctx context.Context, key, value string, opts kv.CreateOptions) (kv.Event, error) {
	if err := o.check(); err != nil {
		return kv.Event{}, err
	}
	return o.Store.Create(ctx, key, value, opts)
}

func (o *outage) CompareAndSwap(ctx context.Context, key, value string, cond kv.Condition, opts kv.UpdateOptions) (kv.Event, error) {
	if err := o.check(); err != nil {
		return kv.Event{}, err
	}
	return o.Store.CompareAndSwap(ctx, key, value, cond, opts)
}

func (o *outage) CompareAndDelete(ctx context.Context, key string, cond kv.Condition) (kv.Event, error) {
	if err := o.check(); err != nil {
		return kv.Event{}, err
	}
	return o.Store.CompareAndDelete(ctx, key, cond)
}

func (o *outage) Watch(ctx context.Context, key string, opts kv.WatchOptions) (*kv.Watch, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.mu.Lock()
	if o.live == nil {
		o.live, o.cut = context.WithCancel(context.Background())
	}
	live := o.live
	o.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(live, cancel)
	return o.Store.Watch(ctx, key, opts)
}
