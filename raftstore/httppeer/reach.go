package httppeer

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// startTime is how long a peer that was never reached may be about to start:
// the members of a new cluster come one after the other.
const startTime = 10 * time.Second

// reach follows whether a peer can be reached. However many streams there are to
// it, and however often they are dialled, the log has one line when it is lost
// and one when it is there again. It has none of a peer that is about to start.
type reach struct {
	mu    sync.Mutex
	since time.Time       // when it was first tried
	stood map[string]bool // kinds of streams that have been open
	down  map[string]bool // kinds of streams that are not
	told  bool            // the log has it that the peer is lost
}

func newReach() *reach {
	return &reach{since: time.Now(), stood: make(map[string]bool), down: make(map[string]bool)}
}

// lost notes that a stream has broken or was not opened, and logs that, as a
// warning if it is news: once the first of two streams returns, it is in the log.
func (r *reach) lost(kind string, err error, log func(slog.Level)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down[kind] = true
	starting := !r.stood[kind] && time.Since(r.since) < startTime && isNormal(err)
	if r.told || starting {
		log(slog.LevelDebug)
		return
	}
	r.told = true
	log(slog.LevelWarn)
}

// open notes that a stream stands, and reports whether it is news that all do.
func (r *reach) open(kind string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stood[kind] = true
	delete(r.down, kind)
	if !r.told || len(r.down) > 0 {
		return false
	}
	r.told = false
	return true
}

// errNotServing is the answer of a peer that does not run yet, or not any more.
var errNotServing = errors.New("peer is not running")

// isNormal reports whether a peer that is about to start may well fail so. What
// else is wrong does not end by waiting.
func isNormal(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" || errors.Is(err, errNotServing)
}
