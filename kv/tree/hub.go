package tree

import (
	"runtime"
	"slices"
	"sync"

	"github.com/strakeproject/strake/kv"
)

// The hub brings events to watchers.
//
//	Apply --publish--> ring (the latest events) --examine--> watcher's reader
//	                   spots (who waits where)  --wake-----> watcher's reader
//	                             or, if many, --> a waker --> watcher's reader
//
// One goroutine publishes; each reader examines for itself. Registration and
// publishing exclude each other, so that a watcher is either told of an event
// or finds it in the ring or the changelog: there is no gap.
type hub struct {
	limits limits // of the ring

	mu    sync.Mutex
	err   *kv.Error // why it is closed; nil while it is open
	index uint64    // of the last event published
	ring  ring      // without gaps up to index
	first uint64    // the ring is complete from here on
	bytes int       // size of the ring
	floor uint64    // there is no history below
	root  *spot
	woken []woken    // by removals that are about to be published, in their order
	awake []*watcher // unparked, but not told yet

	wakers sync.WaitGroup // see wake
}

// woken is a watcher whose key goes away at an index.
type woken struct {
	w     *watcher
	index uint64
}

// A spot is a key that somebody watches, or one on the way to it.
type spot struct {
	watchers map[*watcher]struct{}
	children map[string]*spot
}

func newHub(l limits) *hub { return &hub{limits: l, root: &spot{}} }

// start sets the index from which on events will be published.
func (h *hub) start(index, floor uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.index, h.first, h.floor = index, index+1, floor
}

// jump goes on from an index that was not reached by publishing. The events
// up to there are in the changelog from floor on, and removals among them have
// been marked, unless some are missing: that ends all watches. The caller holds
// mu.
func (h *hub) jump(index, floor uint64) {
	gap := floor > h.index+1
	h.root.each(func(w *watcher) {
		w.cut = w.cut || gap
		h.unpark(w, max(w.next, h.index+1)) // to look for itself
	})
	h.wake()
	h.ring, h.bytes, h.woken = ring{}, 0, nil
	h.index, h.first, h.floor = index, index+1, floor
}

func (h *hub) closed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err != nil
}

// close ends all watches.
func (h *hub) close(err *kv.Error) {
	defer h.wakers.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
		h.root.each(func(w *watcher) { h.unpark(w, w.next) })
		h.wake()
	}
}

// register places a watcher, whose cursor becomes the next event if it was 0,
// and returns the index of the last event before it came. It refuses one whose
// cursor is below the floor.
func (h *hub) register(w *watcher) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return 0, h.err
	}
	if w.next == 0 {
		w.next = h.index + 1
	}
	if w.next < h.floor {
		return 0, cleared(h.floor, w.next, h.index)
	}
	w.live = h.index + 1
	h.root.at(w.key, true).add(w)
	return h.index, nil
}

// remove forgets a watcher. Removing it again does nothing.
func (h *hub) remove(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.root.remove(w, w.key)
}

// cursor returns the first index that a watcher has not examined.
func (h *hub) cursor(w *watcher) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return w.next
}

// advance moves a watcher's cursor.
func (h *hub) advance(w *watcher, next uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.next = next
}

// watchState is where a watcher stands after it examined the ring.
type watchState struct {
	parked bool // it has seen everything and will be woken
	// behind: its cursor, next, lies before the ring, which begins at ring.
	behind     bool
	next, ring uint64
	gone       []uint64
}

// examine returns the events of the ring that a watcher has not seen and that
// are for it, and moves its cursor. It parks the watcher if there are none.
func (h *hub) examine(w *watcher) ([]kv.Event, watchState, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return nil, watchState{}, h.err
	}
	if w.cut {
		return nil, watchState{}, cleared(h.floor, w.next, h.index)
	}
	for len(w.gone) > 0 && w.gone[0] < w.next {
		w.gone = w.gone[1:]
	}
	if w.next < h.first && w.next <= h.index {
		return nil, watchState{behind: true, next: w.next, ring: h.first, gone: slices.Clone(w.gone)}, nil
	}
	var evs []kv.Event
	for i := h.ring.search(w.next); i < h.ring.n; i++ {
		ev := h.ring.at(i)
		if !w.matches(ev, w.gone) {
			continue
		}
		evs = append(evs, ev.deliver())
		if len(evs) == fetchMost {
			w.next = ev.Index + 1
			return evs, watchState{}, nil
		}
	}
	w.next = max(w.next, h.index+1)
	w.parked = len(evs) == 0
	return evs, watchState{parked: w.parked}, nil
}

// unpark has a watcher examine the event of the given index, once it is told. The
// caller holds mu.
func (h *hub) unpark(w *watcher, index uint64) {
	if !w.parked || index < w.next {
		return
	}
	w.parked = false
	w.next = index
	h.awake = append(h.awake, w)
}

// wakeFew is how many watchers are told at a time.
const wakeFew = 256

// wake tells those that were unparked. The caller holds mu, and does not wait for
// many: they go one lot after the other, so that the next to publish does not
// have to queue behind all of them.
func (h *hub) wake() {
	if len(h.awake) <= wakeFew {
		for _, w := range h.awake {
			w.signal()
		}
		clear(h.awake)
		h.awake = h.awake[:0]
		return
	}
	many := h.awake
	h.awake = nil
	h.wakers.Go(func() {
		for lot := range slices.Chunk(many, wakeFew) {
			for _, w := range lot {
				w.signal()
			}
			runtime.Gosched()
		}
	})
}

// signal wakes the reader of a watcher.
func (w *watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// markGone tells the watchers of keys below dir, if those exist, that the event
// of the given index takes them away. The caller holds mu, and keeps it until
// it has published that event.
func (h *hub) markGone(dir string, index uint64, exists func(key string) (bool, error)) error {
	s := h.root.at(dir, false)
	if s == nil {
		return nil
	}
	for name, child := range s.children {
		err := child.walk(under(dir)+name, func(key string, at *spot) error {
			if len(at.watchers) == 0 {
				return nil
			}
			ok, err := exists(key)
			if err != nil || !ok {
				return err
			}
			for w := range at.watchers {
				w.gone = append(w.gone, index)
				h.woken = append(h.woken, woken{w, index})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// publish makes events known. The caller holds mu. History below floor is gone
// for watchers as well, wherever they stand.
func (h *hub) publish(evs []event, index, floor uint64) {
	h.index = index
	for i := range evs {
		ev := &evs[i]
		ev.memory = ev.size()
		h.ring.push(ev)
		h.bytes += ev.memory
		if !ev.refresh {
			h.wakeFor(ev)
		}
		// In the order of events: the first one to wake a watcher is where it
		// begins to examine.
		for len(h.woken) > 0 && h.woken[0].index == ev.Index {
			h.unpark(h.woken[0].w, ev.Index)
			h.woken = h.woken[1:]
		}
	}
	h.woken = nil
	h.wake()
	h.floor = floor
	h.trim()
}

// trim drops what exceeds the bounds of the ring or lies below the floor.
func (h *hub) trim() {
	for h.ring.n > 0 {
		ev := h.ring.at(0)
		if ev.Index >= h.floor && h.bytes <= h.limits.ringBytes && h.ring.n <= h.limits.ringEvents {
			break
		}
		h.bytes -= ev.memory // not ev.size, which would look at memory that is long cold
		h.first = ev.Index + 1
		h.ring.pop()
	}
	h.first = max(h.first, h.floor)
}

// wakeFor wakes whom an event may concern, other than through a removal.
func (h *hub) wakeFor(ev *event) {
	n, lastHidden := segments(ev.Node.Key)
	at, rest := h.root, ev.Node.Key[1:]
	for depth := 0; at != nil; depth++ {
		for w := range at.watchers {
			if depth == n || w.recursive && depth >= lastHidden {
				h.unpark(w, ev.Index)
			}
		}
		if depth == n {
			return
		}
		var name string
		name, rest = cutSegment(rest)
		at = at.children[name]
	}
}
