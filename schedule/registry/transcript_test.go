package registry_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/tree"
	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// TestTranscripts replays testdata. Each file begins with an empty store; each
// command is a call of Registry and answers "ok", what it read, or its error.
// The commands "keys" and "put" go to the store itself, as older programs do.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/registry", func(t *testing.T, path string) {
		store := openStore(t)
		s := session{store: store, reg: registry.New(store, registry.Options{})}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := s.run(t.Context(), d)
			if err != nil {
				kind := ""
				if _, ok := errors.AsType[*registry.InvalidError](err); ok {
					kind = "refused: "
				}
				return kind + err.Error() + "\n"
			}
			if out == "" {
				return "ok\n"
			}
			return out
		})
	})
}

func openStore(t testing.TB) *tree.Local {
	t.Helper()
	store, err := tree.NewLocal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

type session struct {
	store kv.Store
	reg   *registry.Registry
}

func (s session) run(ctx context.Context, d *datadriven.TestData) (string, error) {
	arg := func(i int) string {
		if i < len(d.CmdArgs) {
			return d.CmdArgs[i].Key
		}
		return ""
	}
	value := func(name string) string {
		for _, a := range d.CmdArgs {
			if a.Key == name {
				return strings.Join(a.Vals, ",")
			}
		}
		return ""
	}
	switch d.Cmd {
	case "create", "replace":
		f, err := unit.Parse([]byte(d.Input))
		if err != nil {
			return "", err
		}
		if d.Cmd == "create" {
			return "", s.reg.CreateUnit(ctx, arg(0), f, registry.State(arg(1)))
		}
		return "", s.reg.ReplaceUnit(ctx, arg(0), f, registry.State(arg(1)))
	case "target":
		return "", s.reg.SetTarget(ctx, arg(0), registry.State(arg(1)))
	case "destroy":
		return "", s.reg.DestroyUnit(ctx, arg(0))
	case "schedule":
		return "", s.reg.Schedule(ctx, arg(0), arg(1))
	case "unschedule":
		return "", s.reg.Unschedule(ctx, arg(0), arg(1))
	case "reschedule":
		return "", s.reg.Reschedule(ctx, arg(0), arg(1), arg(2))
	case "publish":
		h, err := unit.ParseHash(value("hash"))
		if err != nil {
			return "", err
		}
		return "", s.reg.PublishState(ctx, registry.UnitState{Unit: arg(0), Machine: arg(1), State: unit.State{
			Name: arg(0), Hash: h, Load: "loaded", Active: "active", Sub: "running",
		}}, time.Minute)
	case "withdraw":
		return "", s.reg.RemoveState(ctx, arg(0), arg(1))
	case "launch":
		return "", s.reg.Launch(ctx, arg(0), arg(1), time.Minute)
	case "unlaunch":
		return "", s.reg.Unlaunch(ctx, arg(0), arg(1))
	case "join":
		m := registry.Machine{ID: arg(0), Version: "v1", Identity: value("identity"), Metadata: map[string]string{"disk": "ssd"}}
		if cpu, err := unit.ParseCPU(value("cpu")); err == nil {
			m.Capacity = &schedule.Resources{CPU: cpu, Counters: map[string]int64{"gpu": 1}}
			m.Dedicated, m.PortRange = value("dedicated"), [2]uint16{8000, 8099}
		}
		_, err := s.reg.Join(ctx, m, value("run"), time.Minute)
		return "", err
	case "mark":
		state, err := registry.ParseMachineState(arg(1))
		if err != nil {
			return "", err
		}
		return "", s.reg.SetMachineState(ctx, arg(0), state)
	case "pin":
		return "", s.reg.Pin(ctx, arg(0), arg(1))
	case "give":
		return "", s.reg.GivePorts(ctx, arg(0), arg(1), []uint16{8000, 8001})
	case "take":
		return "", s.reg.TakePorts(ctx, arg(0), arg(1))
	case "rebalance":
		goal, err := registry.ParseGoal(arg(0))
		if err != nil {
			return "", err
		}
		budget, err := strconv.Atoi(arg(1))
		if err != nil {
			return "", err
		}
		return "", s.reg.OrderRebalance(ctx, schedule.Rebalance{Goal: goal, Budget: budget})
	case "scheduler":
		u, err := s.reg.Unit(ctx, arg(0))
		su := u.Schedulable()
		return fmt.Sprintf("machine=%s given=%d request=%d require=%s\n", su.MachineID, su.Given, su.Request.CPU, su.Require), err
	case "metadata":
		return "", s.reg.SetMetadata(ctx, arg(0), arg(1), value("value"))
	case "machines":
		return s.machines(ctx)
	case "units":
		return s.units(ctx)
	case "unit":
		u, err := s.reg.Unit(ctx, arg(0))
		return describe(u), err
	case "states":
		return s.states(ctx)
	case "keys":
		return s.keys(ctx)
	case "put":
		_, err := s.store.Set(ctx, arg(0), strings.TrimSpace(d.Input), kv.SetOptions{})
		return "", err
	}
	return "", fmt.Errorf("unknown command %q", d.Cmd)
}

func (s session) units(ctx context.Context) (string, error) {
	units, err := s.reg.Units(ctx)
	var b strings.Builder
	for _, u := range units {
		b.WriteString(describe(u))
	}
	return b.String(), err
}

func describe(u registry.Unit) string {
	return fmt.Sprintf("%s %s wanted=%s current=%s machine=%s\n", u.Name, u.Hash.Short(), u.Target, u.Current, u.Machine)
}

func (s session) states(ctx context.Context) (string, error) {
	states, err := s.reg.States(ctx)
	var b strings.Builder
	for _, st := range states {
		fmt.Fprintf(&b, "%s on %s: %s %s %s %s\n", st.Unit, st.Machine, st.State.Load, st.State.Active, st.State.Sub, st.State.Hash.Short())
	}
	return b.String(), err
}

func (s session) machines(ctx context.Context) (string, error) {
	machines, err := s.reg.Machines(ctx)
	var b strings.Builder
	for _, m := range machines {
		fmt.Fprintf(&b, "%s %s ip=%v %v", m.ID, m.Version, m.PublicIP, m.Metadata)
		if m.Capacity != nil {
			fmt.Fprintf(&b, " %v dedicated=%q ports=%d", *m.Capacity, m.Dedicated, m.PortRange)
		}
		if m.State != schedule.Open {
			b.WriteString(" " + registry.FormatMachineState(m.State))
		}
		b.WriteString("\n")
	}
	return b.String(), err
}

// keys prints the files below the registry's root.
func (s session) keys(ctx context.Context) (string, error) {
	ev, err := s.store.Get(ctx, registry.DefaultPrefix, kv.GetOptions{Recursive: true, Sorted: true})
	if errors.Is(err, kv.ErrKeyNotFound) {
		return "none\n", nil
	}
	var b strings.Builder
	var walk func(n kv.Node)
	walk = func(n kv.Node) {
		if !n.Dir {
			ttl := ""
			if !n.Expiration.IsZero() {
				ttl = " (expires)"
			}
			fmt.Fprintf(&b, "%s%s\n    %s\n", strings.TrimPrefix(n.Key, registry.DefaultPrefix), ttl, n.Value)
		} else if len(n.Nodes) == 0 {
			fmt.Fprintf(&b, "%s/\n", strings.TrimPrefix(n.Key, registry.DefaultPrefix))
		}
		for _, c := range n.Nodes {
			walk(c)
		}
	}
	walk(ev.Node)
	return b.String(), err
}
