package httpapi

import (
	"net/http"
	"sync/atomic"
	"time"
)

// operation is what is asked of a store.
type operation int

const (
	opGet operation = iota
	opGetRecursive
	opSet
	opDelete
	opUpdate
	opCreate
	opSwap
	opCompareAndDelete
	numOperations
)

var operationNames = [numOperations]string{
	"get", "getRecursive", "set", "delete", "update", "create", "compareAndSwap", "compareAndDelete",
}

// keyMethods are those of requests for keys.
var keyMethods = [...]string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete}

// keyStatuses are those of key requests that fail.
var keyStatuses = [...]int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
	http.StatusPreconditionFailed, http.StatusInternalServerError,
}

// Counts are the requests for keys that an API has had since it was made. They
// are read one after the other, not as of one moment.
type Counts struct {
	Methods    []MethodCounts
	Operations []OperationCounts
	// WatchRequests counts watches begun, Watches those under way.
	WatchRequests uint64
	Watches       int64
}

// MethodCounts are the requests of one method.
type MethodCounts struct {
	Method string
	// Received are those that were allowed; Failed by status what became of some.
	Received uint64
	Failed   map[int]uint64
	// Took is how long the others took, but for watches.
	Took Histogram
}

// OperationCounts are the requests for one operation of the store.
type OperationCounts struct {
	// Action is "get", "getRecursive" or the action of the event.
	Action            string
	Succeeded, Failed uint64
}

// Histogram counts durations. Bucket i holds those up to BucketLimit(i) that are
// in none before; what takes longer than the last is in Count and Sum alone.
type Histogram struct {
	Buckets [13]uint64
	Count   uint64
	Sum     time.Duration
}

// BucketLimit is the upper limit of a bucket: half a millisecond, doubled i times.
func BucketLimit(i int) time.Duration { return 500 * time.Microsecond << i }

// counts is Counts as it is counted.
type counts struct {
	ok, failed    [numOperations]atomic.Uint64
	methods       [len(keyMethods)]methodCounts
	watchRequests atomic.Uint64
	watches       atomic.Int64
}

type methodCounts struct {
	received atomic.Uint64
	failed   [len(keyStatuses)]atomic.Uint64
	buckets  [len(Histogram{}.Buckets)]atomic.Uint64
	count    atomic.Uint64
	sum      atomic.Int64
}

// note counts what became of an operation.
func (c *counts) note(op operation, err error) {
	if err != nil {
		c.failed[op].Add(1)
		return
	}
	c.ok[op].Add(1)
}

// method returns where a method is counted, which must be one for keys.
func (c *counts) method(name string) *methodCounts {
	for i, m := range keyMethods {
		if m == name {
			return &c.methods[i]
		}
	}
	return &c.methods[0]
}

func (m *methodCounts) fail(status int) {
	for i, s := range keyStatuses {
		if s == status {
			m.failed[i].Add(1)
		}
	}
}

func (m *methodCounts) took(d time.Duration) {
	m.count.Add(1)
	m.sum.Add(int64(d))
	for i := range m.buckets {
		if d <= BucketLimit(i) {
			m.buckets[i].Add(1)
			return
		}
	}
}

// Counts returns what there was to do.
func (a *API) Counts() Counts {
	c := Counts{WatchRequests: a.counts.watchRequests.Load(), Watches: a.counts.watches.Load()}
	for op, name := range operationNames {
		c.Operations = append(c.Operations, OperationCounts{name, a.counts.ok[op].Load(), a.counts.failed[op].Load()})
	}
	for i, name := range keyMethods {
		m := &a.counts.methods[i]
		mc := MethodCounts{Method: name, Received: m.received.Load(), Failed: map[int]uint64{}}
		for j, status := range keyStatuses {
			if n := m.failed[j].Load(); n > 0 {
				mc.Failed[status] = n
			}
		}
		for j := range m.buckets {
			mc.Took.Buckets[j] = m.buckets[j].Load()
		}
		mc.Took.Count, mc.Took.Sum = m.count.Load(), time.Duration(m.sum.Load())
		c.Methods = append(c.Methods, mc)
	}
	return c
}
