package overlay

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"time"

	"github.com/strakeproject/strake/kv"
)

// tableUpdate is what a watch of the table delivers: the whole table, or one change.
type tableUpdate struct {
	// Reset says that Leases is the whole table: what is not in it is gone.
	Reset bool
	// Leases are new, renewed or changed; after a Reset, all.
	Leases []Lease
	// Removed is a subnet whose lease has ended; zero if none has.
	Removed netip.Prefix

	index uint64 // of the change, or the store index of the reading
}

// resyncSpread is over how long hosts that lost the same history spread their
// reads of the table.
const resyncSpread = time.Second

// watch yields the table and then each change of it. When history is lost or
// the store fails it begins anew with a Reset, after a while and for as long
// as it takes. It ends with ctx.
func (r *Registry) watch(ctx context.Context) iter.Seq[tableUpdate] {
	return func(yield func(tableUpdate) bool) {
		retry := backoff{min: time.Second, max: 30 * time.Second}
		var failed news
		for ctx.Err() == nil {
			index, err := r.resync(ctx, yield)
			if err == nil {
				retry.reset()
				failed.over()
				err = r.follow(ctx, index+1, yield)
			}
			var pause time.Duration
			switch {
			case errors.Is(err, errStop), ctx.Err() != nil:
				return
			case errors.Is(err, kv.ErrHistoryCleared):
				r.opts.Logger.Info("history of leases lost, reading them again")
				pause = time.Duration(r.opts.Rand(int(resyncSpread)))
			case errors.Is(err, errReread):
			default:
				pause = retry.next()
				if failed.of(err) {
					r.opts.Logger.Warn("couldn't read the leases", "err", err)
				}
			}
			if wait(ctx, pause) != nil {
				return
			}
		}
	}
}

var (
	errStop   = errors.New("the reader has enough")
	errReread = errors.New("many leases changed at once")
)

// resync yields the table and returns the index of the reading.
func (r *Registry) resync(ctx context.Context, yield func(tableUpdate) bool) (uint64, error) {
	leases, index, err := r.leases(ctx)
	if err != nil {
		return 0, err
	}
	if !yield(tableUpdate{Reset: true, Leases: leases, index: index}) {
		return 0, errStop
	}
	return index, nil
}

// follow yields changes from index on until the watch cannot go on. A watch
// that only lost its connection it takes up where it broke off.
func (r *Registry) follow(ctx context.Context, from uint64, yield func(tableUpdate) bool) error {
	retry := backoff{min: time.Second, max: 30 * time.Second}
	var broken news
	for {
		w, err := r.store.Watch(ctx, r.subnetsKey(), kv.WatchOptions{Recursive: true, From: from})
		if err == nil {
			retry.reset()
			if broken.over() {
				r.opts.Logger.Info("watch of leases goes on")
			}
			from, err = r.deliver(w, from, yield)
		}
		for _, final := range []error{errStop, errReread, kv.ErrHistoryCleared} {
			if errors.Is(err, final) {
				return err
			}
		}
		if ctx.Err() == nil && err != nil && broken.last == "" && broken.of(err) {
			r.opts.Logger.Info("watch of leases broke off", "err", err)
		}
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
}

// deliver yields what a watch has to say, and returns where the next one has to
// begin.
func (r *Registry) deliver(w *kv.Watch, from uint64, yield func(tableUpdate) bool) (uint64, error) {
	for ev, err := range w.Events {
		if e, ok := errors.AsType[*kv.WatchError](err); ok {
			return e.Resume, err
		}
		if err != nil {
			return from, err
		}
		from = ev.Index + 1
		if kv.Parent(ev.Node.Key) != r.subnetsKey() {
			return from, errReread // the directory itself, or one above it, has gone
		}
		u, ok := r.update(ev)
		if ok && !yield(u) {
			return from, errStop
		}
	}
	return from, nil
}

// update makes an update of an event below subnets; false if it concerns no
// lease.
func (r *Registry) update(ev kv.Event) (tableUpdate, bool) {
	switch ev.Action {
	case kv.ActionDelete, kv.ActionExpire, kv.ActionCompareAndDelete:
		subnet, err := parseLeaseKey(kv.Base(ev.Node.Key))
		return tableUpdate{Removed: subnet, index: ev.Index}, err == nil
	}
	l, ok := r.decode(ev.Node)
	return tableUpdate{Leases: []Lease{l}, index: ev.Index}, ok
}
