package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/overlay"
	"github.com/strakeproject/strake/reboot"
	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// story is what is shown of a cluster. Each part fails if what it shows does not
// come true in time.
type story struct {
	*cluster
	*screen
}

// patience is how long anything may take before the story has failed.
const patience = 60 * time.Second

func (s *story) tell(ctx context.Context) error {
	fmt.Fprintf(s.w, "Strake: %d machines in one process, on loopback.\n", len(s.machines))
	for _, part := range []func(context.Context) error{
		s.startMembers, s.bootMachines, s.startUnits, s.showTables,
		s.stopLeader, s.cutLeader, s.killMachine, s.rebootAll,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	s.chapter("Everything held.")
	return nil
}

func (s *story) startMembers(ctx context.Context) error {
	s.chapter("The key-value store starts")
	if err := s.startStore(ctx); err != nil {
		return err
	}
	leader, err := s.awaitLeader(ctx)
	if err != nil {
		return err
	}
	s.say("%d members at %s; %s leads", len(s.members()), strings.Join(s.endpoints(), " "), leader.name)
	return nil
}

// awaitLeader returns the machine whose member leads, once one does.
func (s *story) awaitLeader(ctx context.Context) (*machine, error) {
	// A quorum read waits for a leader.
	if err := s.insist(ctx, func() error {
		_, err := s.store.Get(ctx, "/", kv.GetOptions{Quorum: true})
		return err
	}); err != nil {
		return nil, fmt.Errorf("no leader: %w", err)
	}
	var m *machine
	err := s.poll(ctx, "a member here to lead", func() string {
		var ok bool
		if m, ok = s.leader(); !ok {
			return "the store answers, but none does"
		}
		return ""
	})
	return m, err
}

// insist repeats what may be done twice while the store does not answer in
// time or lacks a leader: the operator's client gives up on a member after a
// second, and repeats no write by itself.
func (s *story) insist(ctx context.Context, f func() error) error {
	for began := time.Now(); ; {
		err := f()
		if err == nil || !noAnswer(err) || time.Since(began) > patience {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// noAnswer reports whether an error is that of a store that is not there now.
func noAnswer(err error) bool {
	return errors.Is(err, kv.ErrNotApplied) || errors.Is(err, kv.ErrOutcomeUnknown) || errors.Is(err, kv.ErrInternal) ||
		errors.Is(err, context.DeadlineExceeded)
}

func (s *story) bootMachines(ctx context.Context) error {
	s.chapter("The machines boot from cloud-config.yaml")
	for _, m := range s.machines {
		if err := m.boot(ctx); err != nil {
			return err
		}
	}
	if err := s.insist(ctx, func() (err error) {
		s.view, err = s.registry.Follow(ctx, registry.Scope{States: true})
		return err
	}); err != nil {
		return err
	}
	if err := s.await(ctx, "all machines to join", func() string {
		return missing(len(s.machines), len(s.view.Machines()), "machines")
	}); err != nil {
		return err
	}
	if err := s.awaitSubnets(ctx); err != nil {
		return err
	}
	rows := [][]string{{"MACHINE", "ID", "IP", "METADATA", "SUBNET"}}
	for _, m := range s.machines {
		run, err := m.running()
		if err != nil {
			return err
		}
		rows = append(rows, []string{
			m.name, m.id[:8], m.ip.String(), m.CoreOS.Fleet.Lookup("FLEET_METADATA"), run.network.Status().Lease.Subnet.String(),
		})
	}
	s.say("%d machines have joined, each with a subnet of its own", len(s.machines))
	s.table(rows)
	return nil
}

// awaitSubnets waits until every machine holds a lease and sees all others'.
func (s *story) awaitSubnets(ctx context.Context) error {
	return s.poll(ctx, "every machine to have a subnet and know the others'", func() string {
		for _, m := range s.machines {
			run, err := m.running()
			if err != nil {
				return err.Error()
			}
			if st := run.network.Status(); st.Phase != overlay.PhaseHeld || st.Peers != len(s.machines)-1 {
				return fmt.Sprintf("%s: %s, %d peers", m.name, st.Phase, st.Peers)
			}
		}
		return ""
	})
}

// instances are the templates' instances to start, six that never share a
// machine and two sidekicks.
var instances = map[string][]string{
	"web@.service":      {"1", "2", "3", "4", "5", "6"},
	"announce@.service": {"1", "2"},
}

func (s *story) startUnits(ctx context.Context) error {
	s.chapter("Units are submitted and started")
	for _, u := range s.units {
		names := []string{u.Name}
		if unit.Name(u.Name).IsTemplate() {
			if err := s.submit(ctx, u, registry.Inactive); err != nil {
				return err
			}
			names = nil
			for _, i := range instances[u.Name] {
				names = append(names, strings.Replace(u.Name, "@", "@"+i, 1))
			}
		}
		for _, name := range names {
			if err := s.submit(ctx, unit.Unit{Name: name, File: u.File}, registry.Launched); err != nil {
				return err
			}
		}
	}
	started := time.Now()
	if err := s.await(ctx, "all units to run", func() string { return s.notRunning(nil) }); err != nil {
		return err
	}
	s.say("all run, %s after the last was started", short(time.Since(started)))
	return nil
}

// submit creates a unit, or brings one that is there, from an earlier start or
// from a try whose answer was lost, up to date.
func (s *story) submit(ctx context.Context, u unit.Unit, target registry.State) error {
	return s.insist(ctx, func() error { return s.submitOnce(ctx, u, target) })
}

func (s *story) submitOnce(ctx context.Context, u unit.Unit, target registry.State) error {
	err := s.registry.CreateUnit(ctx, u.Name, u.File, target)
	if !errors.Is(err, registry.ErrUnitExists) {
		return err
	}
	old, err := s.registry.Unit(ctx, u.Name)
	if err == nil && old.Hash != u.File.Hash() {
		return s.registry.ReplaceUnit(ctx, u.Name, u.File, target)
	}
	if err == nil && old.Target != target {
		return s.registry.SetTarget(ctx, u.Name, target)
	}
	return err
}

func (s *story) showTables(ctx context.Context) error {
	rows := [][]string{{"UNIT", "MACHINE", "ACTIVE", "SUB"}}
	for _, u := range s.view.Units() {
		for _, st := range s.view.States(u.Name) {
			rows = append(rows, []string{u.Name, s.name(st.Machine), st.State.Active, st.State.Sub})
		}
	}
	s.table(rows)
	for _, rule := range []error{s.apart("web@"), s.together("announce@1.service", "web@1.service"), s.onMetadata("db.service", "disk", "ssd")} {
		if rule != nil {
			return rule
		}
	}
	s.say("the web instances are all apart, each announce is with its web, db is on an ssd")
	return nil
}

// stopLeader stops the leading member as an operator does, and brings it back.
func (s *story) stopLeader(ctx context.Context) error {
	s.chapter("The store's leader is stopped")
	leader, err := s.awaitLeader(ctx)
	if err != nil {
		return err
	}
	pause, err := s.underLoad(ctx, func(ctx context.Context) error {
		if err := leader.etcd.stop(ctx); err != nil {
			return err
		}
		leader.etcd = nil
		return s.newLeader(ctx, leader)
	})
	if err != nil {
		return err
	}
	s.say("writes went on; the longest pause between two was %s", short(pause))
	if err := leader.startEtcd(ctx); err != nil {
		return err
	}
	if err := s.caughtUp(ctx, leader); err != nil {
		return err
	}
	s.say("%s is back and has caught up", leader.name)
	return nil
}

// cutLeader takes the network from the leading member, as a broken switch does.
func (s *story) cutLeader(ctx context.Context) error {
	s.chapter("The store's leader is cut off without a word")
	leader, err := s.awaitLeader(ctx)
	if err != nil {
		return err
	}
	pause, err := s.underLoad(ctx, func(ctx context.Context) error {
		leader.net.pull()
		return s.newLeader(ctx, leader)
	})
	if err != nil {
		return err
	}
	s.say("writes went on; the longest pause between two was %s", short(pause))
	leader.net.plug()
	if err := s.caughtUp(ctx, leader); err != nil {
		return err
	}
	s.say("%s is back and has caught up", leader.name)
	return s.await(ctx, "all units to run", func() string { return s.notRunning(nil) })
}

// newLeader waits until another member than that of old leads.
func (s *story) newLeader(ctx context.Context, old *machine) error {
	return s.poll(ctx, "another member to lead", func() string {
		if m, ok := s.leaderAmongOthers(old); ok {
			s.say("%s leads now", m.name)
			return ""
		}
		return "no leader"
	})
}

func (s *story) leaderAmongOthers(old *machine) (*machine, bool) {
	for _, m := range s.members() {
		if m != old && m.etcd.Leader() == m.etcd.ID() {
			return m, true
		}
	}
	return nil, false
}

// caughtUp waits until a member's own copy holds what was written before.
func (s *story) caughtUp(ctx context.Context, m *machine) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last kv.Event
	if err := s.insist(ctx, func() (err error) {
		last, err = s.store.Get(ctx, pulseKey, kv.GetOptions{Quorum: true})
		return err
	}); err != nil {
		return err
	}
	return s.poll(ctx, m.name+" to catch up", func() string {
		ev, err := m.etcd.Get(ctx, pulseKey, kv.GetOptions{})
		if err == nil && ev.Node.ModifiedIndex >= last.Node.ModifiedIndex {
			return ""
		}
		return fmt.Sprintf("it is at index %d of %d", ev.Node.ModifiedIndex, last.Node.ModifiedIndex)
	})
}

const pulseKey = "/example/pulse"

// underLoad writes as fast as one client can while f runs and until a write has
// succeeded after it. It returns the longest time between two acknowledged
// writes.
func (s *story) underLoad(ctx context.Context, f func(context.Context) error) (longest time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	beat := make(chan struct{})
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		last := time.Now()
		for n, ending := 0, false; !ending && ctx.Err() == nil; {
			select {
			case <-done:
				ending = true
			default:
			}
			// A write whose outcome is unknown can be repeated: it sets the same
			// key.
			if _, err := s.store.Set(ctx, pulseKey, fmt.Sprint(n), kv.SetOptions{}); err != nil {
				ending = false
				continue
			}
			longest = max(longest, time.Since(last))
			last = time.Now()
			if n++; n == 10 {
				close(beat)
			}
		}
	})
	if err = await(ctx, beat); err == nil {
		err = f(ctx)
	}
	close(done)
	writer.Wait()
	return longest, errors.Join(err, ctx.Err())
}

// killMachine takes the power from the machine that runs db, and gives it back.
func (s *story) killMachine(ctx context.Context) error {
	db, ok := s.view.Unit("db.service")
	if !ok {
		return errors.New("db.service is gone")
	}
	victim, ok := s.machine(db.Machine)
	if !ok {
		return fmt.Errorf("db.service is on no machine known here: %q", db.Machine)
	}
	s.chapter("%s loses its power", victim.name)
	var lost []string
	for _, u := range s.view.Units() {
		if u.Machine == victim.id {
			lost = append(lost, u.Name)
		}
	}
	s.say("with it go %s", strings.Join(lost, ", "))
	killed := time.Now()
	victim.halt()
	if err := s.await(ctx, "db.service to run elsewhere", func() string {
		u, _ := s.view.Unit("db.service")
		if u.Machine == victim.id || !s.active(u) {
			return "it does not"
		}
		return s.notRunning(victim)
	}); err != nil {
		return err
	}
	s.say("what can run elsewhere does, %s after the loss:", short(time.Since(killed)))
	for _, name := range lost {
		if u, ok := s.view.Unit(name); ok && u.Machine != "" {
			s.say("   %s on %s", name, s.name(u.Machine))
			continue
		}
		s.say("   %s waits:", name)
		s.show(s.explain(name))
	}
	back := time.Now()
	if err := victim.boot(ctx); err != nil {
		return err
	}
	if err := s.await(ctx, "all units to run", func() string { return s.notRunning(nil) }); err != nil {
		return err
	}
	s.say("%s is back, and all units run again after %s", victim.name, short(time.Since(back)))
	return nil
}

// explain says why a unit is placed nowhere, from what the view shows.
func (s *story) explain(name string) string {
	c := schedule.Cluster{Placed: make(map[string]string)}
	for _, m := range s.view.Machines() {
		c.Machines = append(c.Machines, m.Schedulable())
	}
	for _, u := range s.view.Units() {
		c.Units = append(c.Units, u.Schedulable())
		if u.Machine != "" {
			c.Placed[u.Name] = u.Machine
		}
	}
	e, err := schedule.Explain(c, name)
	if err != nil {
		return err.Error()
	}
	text := e.String()
	for _, m := range s.machines {
		text = strings.ReplaceAll(text, m.id, m.name)
	}
	return text
}

// rebootAll has every machine reboot, one at a time under the semaphore.
func (s *story) rebootAll(ctx context.Context) error {
	s.chapter("All machines want to reboot; the semaphore lets one at a time")
	sem, err := reboot.NewSemaphore(s.store, reboot.SemaphoreOptions{})
	if err != nil {
		return err
	}
	if err := s.insist(ctx, func() error {
		_, err := sem.SetMax(ctx, 1)
		return err
	}); err != nil {
		return err
	}
	began := time.Now()
	for _, m := range s.machines {
		m.needReboot <- struct{}{}
	}
	for range s.machines {
		select {
		case name := <-s.reboots.back:
			s.say("%s has rebooted", name)
		case <-time.After(patience):
			return errors.New("a machine did not come back from its reboot")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if most := s.reboots.mostDown(); most != 1 {
		return fmt.Errorf("%d machines were down at once", most)
	}
	if err := s.await(ctx, "all units to run", func() string { return s.notRunning(nil) }); err != nil {
		return err
	}
	if err := s.poll(ctx, "the last slot to be given back", func() string {
		if st, err := sem.Status(ctx); err != nil || len(st.Holders) > 0 {
			return fmt.Sprintf("holders %q, %v", st.Holders, err)
		}
		return ""
	}); err != nil {
		return err
	}
	s.say("%d machines in %s, never two at once; all units run", len(s.machines), short(time.Since(began)))
	return nil
}

// invite tells what to try.
func (s *story) invite() {
	s.chapter("The cluster keeps running. Try, in another terminal:")
	api := fmt.Sprintf("http://%s:%s", s.machines[0].ip, apiPort)
	s.show(fmt.Sprintf(`
export ETCDCTL_ENDPOINTS=%s
go run ./cmd/etcdctl cluster-health
go run ./cmd/etcdctl ls --recursive /coreos.com/network
go run ./cmd/etcdctl set /message Hello
go run ./cmd/etcdctl watch /example --recursive --forever

export FLEETCTL_ENDPOINT=%s
go run ./cmd/fleetctl list-machines
go run ./cmd/fleetctl list-units
go run ./cmd/fleetctl journal -f hello.service
go run ./cmd/fleetctl stop web@3.service

curl %s/metrics`, s.endpoints()[0], api, api)[1:])
	fmt.Fprintln(s.w, "\nCtrl-C ends it.")
}

// await waits until problem returns "", looking again at each change of the
// cluster.
func (s *story) await(ctx context.Context, what string, problem func() string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		s.view.Take()
		p := problem()
		if p == "" {
			return nil
		}
		select {
		case <-s.view.Changed():
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %s", what, p)
		}
	}
}

// poll is await for what no view shows.
func (s *story) poll(ctx context.Context, what string, problem func() string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p := problem()
		if p == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %s", what, p)
		}
	}
}

// notRunning names a unit that should run and does not, "" if there is none.
// While a machine is down, units that only it could take are let off.
func (s *story) notRunning(down *machine) string {
	for _, u := range s.view.Units() {
		switch {
		case u.Target != registry.Launched:
		case u.Global():
			if p := s.globalNotRunning(u, down); p != "" {
				return p
			}
		case !s.active(u):
			waits := down != nil && u.Machine == "" &&
				(strings.HasPrefix(u.Name, "web@") || strings.HasPrefix(u.Name, "announce@"))
			if !waits {
				return fmt.Sprintf("%s, target %q", u.Name, s.name(u.Machine))
			}
		}
	}
	return ""
}

func (s *story) globalNotRunning(u registry.Unit, down *machine) string {
	for _, m := range s.machines {
		if m != down && !slices.ContainsFunc(s.view.States(u.Name), func(st registry.UnitState) bool {
			return st.Machine == m.id && st.State.Active == "active"
		}) {
			return u.Name + " on " + m.name
		}
	}
	return ""
}

// active reports whether a unit runs on the machine it is scheduled to.
func (s *story) active(u registry.Unit) bool {
	return slices.ContainsFunc(s.view.States(u.Name), func(st registry.UnitState) bool {
		return st.Machine == u.Machine && st.State.Active == "active"
	})
}

// apart checks that no two units of a prefix share a machine.
func (s *story) apart(prefix string) error {
	on := make(map[string]string)
	for _, u := range s.view.Units() {
		if !strings.HasPrefix(u.Name, prefix) || u.Machine == "" {
			continue
		}
		if other, taken := on[u.Machine]; taken {
			return fmt.Errorf("%s and %s share %s", other, u.Name, s.name(u.Machine))
		}
		on[u.Machine] = u.Name
	}
	return nil
}

func (s *story) together(a, b string) error {
	ua, _ := s.view.Unit(a)
	ub, _ := s.view.Unit(b)
	if ua.Machine != ub.Machine {
		return fmt.Errorf("%s is on %s, %s on %s", a, s.name(ua.Machine), b, s.name(ub.Machine))
	}
	return nil
}

func (s *story) onMetadata(name, key, value string) error {
	u, _ := s.view.Unit(name)
	m, _ := s.view.Machine(u.Machine)
	if m.Metadata[key] != value {
		return fmt.Errorf("%s is on %s, which has %s=%s", name, s.name(u.Machine), key, m.Metadata[key])
	}
	return nil
}

func missing(want, got int, what string) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%d of %d %s", got, want, what)
}
