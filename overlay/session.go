package overlay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/strakeproject/strake/kv"
)

// session is the time that a Network spends on one subnet. All fields belong to
// the goroutine of Run.
type session struct {
	*Network
	cfg     Config
	backend Backend
	attrs   Attributes // as this host's lease should say

	lease     Lease     // as last written or agreed to
	since     time.Time // when the lease was acquired
	contested time.Time // when this host last objected to another's write
	restored  time.Time // when it last undid a write of nobody in particular

	// seen is what the table last showed at our key: zero if nothing. While it
	// says anything but lease, keep has to act.
	seen      Lease
	keepTimer *time.Timer // a keep that failed is due
	keepRetry backoff
	keepNews  news
	renew     *time.Timer // the lease has to be renewed
	renewNews news

	peers     *peers
	synced    bool        // the backend has been given the first table
	sync      *time.Timer // the backend has to be given the table again
	syncRetry backoff
	syncNews  news
}

// join acquires a lease and makes it known on this host.
func (s *session) join(ctx context.Context, previous netip.Prefix) error {
	s.set(func(st *Status) { *st = Status{Phase: PhaseAcquire} })
	if err := s.acquire(ctx, previous); err != nil {
		return err
	}
	mtu, err := s.backend.Configure(ctx, s.lease)
	if err != nil {
		return fmt.Errorf("backend %q: %w", s.cfg.BackendType, err)
	}
	env := SubnetEnv{Network: s.cfg.Network, Subnet: s.lease.Subnet, MTU: mtu, IPMasq: s.opts.IPMasq}
	if err := s.writeSubnetFiles(env); err != nil {
		return err
	}
	s.log.Info("lease acquired", "subnet", s.lease.Subnet, "until", s.lease.Expiration)
	s.set(func(st *Status) { st.Phase, st.Lease, st.MTU = PhaseHeld, s.lease, mtu })
	return nil
}

// acquire waits out an unreachable store.
func (s *session) acquire(ctx context.Context, previous netip.Prefix) error {
	retry := backoff{min: time.Second, max: 30 * time.Second}
	var failed news
	for {
		l, err := s.opts.Registry.Acquire(ctx, s.cfg, s.attrs, previous)
		if err == nil {
			s.lease, s.seen, s.since = l, l, time.Now()
			s.peers.own = l
			return nil
		}
		if errors.Is(err, ErrOutOfSubnets) || errors.Is(err, ErrMaxRetries) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failed.of(err) {
			s.log.Warn("couldn't acquire a lease", "err", err)
		}
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
}

// stay follows the table and keeps the lease until ctx ends or it cannot.
func (s *session) stay(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	defer watcher.Wait()
	defer cancel()

	updates := make(chan tableUpdate)
	watcher.Go(func() {
		for u := range s.opts.Registry.watch(ctx) {
			select {
			case updates <- u:
			case <-ctx.Done():
				return
			}
		}
	})
	s.keepRetry = backoff{min: time.Second, max: time.Minute}
	s.syncRetry = backoff{min: time.Second, max: time.Minute}
	s.keepTimer, s.renew, s.sync = stopped(), stopped(), stopped()
	defer s.keepTimer.Stop()
	defer s.renew.Stop()
	defer s.sync.Stop()
	s.schedule(s.opts.Registry.opts.TTL)

	for {
		var err error
		select {
		case u := <-updates:
			err = s.update(ctx, u)
		case <-s.renew.C:
			err = s.renewLease(ctx)
		case <-s.keepTimer.C:
			err = s.keep(ctx)
		case <-s.sync.C:
			s.setPeers(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// update takes a change of the table.
func (s *session) update(ctx context.Context, u tableUpdate) error {
	c := s.peers.update(u)
	if s.synced {
		s.changePeers(ctx, c)
	} else {
		s.setPeers(ctx)
	}
	s.set(func(st *Status) { st.Peers = len(s.peers.leases) })
	if !s.look(u) {
		return nil
	}
	return s.keep(ctx)
}

// changePeers hands changes to the backend; if one fails the backend gets the
// whole table a little later.
func (s *session) changePeers(ctx context.Context, c changes) {
	var errs []error
	for _, l := range c.remove {
		s.log.Info("peer removed", "subnet", l.Subnet, "peer", l.Attributes.PublicIP)
		errs = append(errs, s.backend.RemovePeer(ctx, l))
	}
	for _, l := range c.add {
		s.log.Info("peer added", "subnet", l.Subnet, "peer", l.Attributes.PublicIP)
		errs = append(errs, s.backend.AddPeer(ctx, l))
	}
	if err := errors.Join(errs...); err != nil {
		s.repair(err)
	}
}

// setPeers hands the whole table to the backend.
func (s *session) setPeers(ctx context.Context) {
	if err := s.backend.SetPeers(ctx, s.peers.all()); err != nil {
		s.repair(err)
		return
	}
	s.syncRetry.reset()
	s.sync.Stop()
	if s.syncNews.over() {
		s.log.Info("data plane in order again", "backend", s.cfg.BackendType)
	}
	if !s.synced {
		s.synced = true
		s.log.Info("peers in place", "peers", len(s.peers.leases))
		s.set(func(st *Status) { st.Peers, st.Synced = len(s.peers.leases), true })
	}
}

func (s *session) repair(err error) {
	if s.syncNews.of(err) {
		s.log.Error("data plane failed", "backend", s.cfg.BackendType, "err", err)
	}
	s.sync.Reset(s.syncRetry.next())
}

// look takes from an update what it says of our own key; false if it says
// nothing new.
func (s *session) look(u tableUpdate) bool {
	own := func(l Lease) bool { return l.Subnet == s.lease.Subnet }
	i := slices.IndexFunc(u.Leases, own)
	switch {
	case u.index <= s.lease.index:
		return false // from before our latest write
	case i >= 0 && u.Leases[i].index == s.lease.index:
		return false
	case i >= 0:
		s.seen = u.Leases[i]
	case u.Removed == s.lease.Subnet, u.Reset:
		s.seen = Lease{}
	default:
		return false
	}
	return true
}

// renewLease extends the lease in time.
func (s *session) renewLease(ctx context.Context) error {
	l, err := s.opts.Registry.Renew(ctx, s.lease, s.attrs)
	switch {
	case err == nil:
		if s.renewNews.over() {
			s.log.Info("lease renewed at last", "subnet", l.Subnet, "until", l.Expiration)
		}
		s.hold(l)
		s.schedule(s.opts.Registry.opts.TTL)
	case errors.Is(err, ErrLeaseLost):
		s.renew.Reset(renewRetry)
		return s.reread(ctx)
	default:
		if s.renewNews.of(err) {
			s.log.Warn("couldn't renew the lease", "subnet", s.lease.Subnet, "err", err)
		}
		s.renew.Reset(renewRetry)
	}
	return nil
}

// keep brings our key back to what it should be, after somebody else changed
// it. It fails only if this host has to give in.
func (s *session) keep(ctx context.Context) error {
	subnet := s.lease.Subnet
	var l Lease
	var err error
	switch seen := s.seen.Attributes; {
	case !s.seen.Subnet.IsValid():
		if s.Status().Phase != PhaseLost {
			s.log.Warn("lease has been revoked, taking it again", "subnet", subnet)
		}
		s.set(func(st *Status) { st.Phase = PhaseLost })
		l, err = s.opts.Registry.create(ctx, subnet, s.attrs)
	case seen.equal(s.attrs):
		s.hold(s.seen)
		s.schedule(time.Until(s.seen.Expiration))
		return nil
	case !seen.known() || seen.sameHost(s.attrs):
		if pause := restorePause - time.Since(s.restored); pause > 0 && !s.restored.IsZero() {
			s.log.Warn("lease was written by another hand again, restoring it later", "subnet", subnet, "pause", pause)
			s.keepTimer.Reset(pause)
			return nil
		}
		s.restored = time.Now()
		s.log.Info("lease was written by another hand, restoring it", "subnet", subnet)
		l, err = s.opts.Registry.Renew(ctx, s.seen, s.attrs)
	case seen.PublicIP == s.attrs.PublicIP:
		if s.newcomer() {
			return s.inUse(seen)
		}
		s.contested = time.Now()
		s.log.Error("taking back the lease", "err", s.inUse(seen))
		l, err = s.opts.Registry.Renew(ctx, s.seen, s.attrs)
	default:
		return fmt.Errorf("subnet %s belongs to %s now: %w", subnet, seen.host(), ErrLeaseLost)
	}
	switch {
	case err == nil:
		s.hold(l)
		s.schedule(s.opts.Registry.opts.TTL)
		return nil
	case errors.Is(err, ErrLeaseLost), errors.Is(err, kv.ErrKeyExists):
		return s.reread(ctx)
	}
	s.keepLater(err)
	return nil
}

// reread looks at our key after a write of ours found it changed.
func (s *session) reread(ctx context.Context) error {
	leases, index, err := s.opts.Registry.leases(ctx)
	if err != nil {
		s.keepLater(err)
		return nil
	}
	if s.look(tableUpdate{Reset: true, Leases: leases, index: index}) {
		// Not keep itself: two hosts that write in turn must not keep this loop
		// from everything else.
		s.keepTimer.Reset(0)
	}
	return nil
}

func (s *session) keepLater(err error) {
	if s.keepNews.of(err) {
		s.log.Warn("couldn't restore the lease", "subnet", s.lease.Subnet, "err", err)
	}
	s.keepTimer.Reset(s.keepRetry.next())
}

// newcomer reports whether this host has to give in to one that has its public
// IP and wrote its lease: because it took the lease over itself just now, or
// because it has objected before and the other went on.
func (s *session) newcomer() bool {
	return s.lease.takenOver && time.Since(s.since) < newcomer ||
		!s.contested.IsZero() && time.Since(s.contested) < truce
}

func (s *session) inUse(other Attributes) error {
	return fmt.Errorf("subnet %s: %w: %s and %s", s.lease.Subnet, ErrAddressInUse, other.host(), s.attrs.host())
}

// hold goes on with a lease that says what it should.
func (s *session) hold(l Lease) {
	l.takenOver = s.lease.takenOver
	s.lease, s.seen, s.peers.own = l, l, l
	s.keepTimer.Stop()
	s.keepRetry.reset()
	s.keepNews.over()
	s.set(func(st *Status) { st.Phase, st.Lease = PhaseHeld, l })
}

// schedule sets the renewal of a lease that lasts for left. A reservation has
// none.
func (s *session) schedule(left time.Duration) {
	s.renew.Stop()
	if !s.lease.Reservation() {
		s.renew.Reset(max(left-s.opts.RenewMargin, 0))
	}
}

// stopped returns a timer that is not running.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}
