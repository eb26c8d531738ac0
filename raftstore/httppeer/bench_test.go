package httppeer_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// sink is a node that only notes what arrives.
type sink struct {
	*recorder
	control, bulk chan struct{}
	answer        func(raftstore.Message) // of pings; nil for none
}

// ping is a message that is answered with one as long.
var ping = []byte("how are you?")

func (s *sink) Receive(from uint64, data []byte) error {
	switch {
	case s.answer != nil && bytes.HasPrefix(data, ping):
		s.answer(raftstore.Message{To: from, Bulk: len(data) > 100, Data: data[:len(data):len(data)]})
	case len(data) < 100:
		s.control <- struct{}{}
	default:
		s.bulk <- struct{}{}
	}
	return nil
}

// reportCPU returns a function that reports how much processor time each of n
// operations has taken since, of both members together.
func reportCPU(b *testing.B) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() {
		b.ReportMetric(float64((used()-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
	}
}

// BenchmarkPingPong is a message and its answer, on streams that are idle
// otherwise.
func BenchmarkPingPong(b *testing.B) {
	for _, size := range []int{64, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			eachWay(b, func(b *testing.B, secure bool) {
				from, _ := benchPair(b, secure)
				back := from.handler.control
				if size > 100 {
					back = from.handler.bulk
				}
				message := append(ping, make([]byte, size-len(ping))...)
				report := reportCPU(b)
				for b.Loop() {
					from.Send(raftstore.Message{To: 0xb, Bulk: size > 100, Data: message})
					<-back
				}
				report()
			})
		})
	}
}

// BenchmarkForward is a batch of one command and its outcome, with one caller
// and with several.
func BenchmarkForward(b *testing.B) {
	for _, callers := range []int{1, 8} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			eachWay(b, func(b *testing.B, secure bool) {
				from, to := benchPair(b, secure)
				result := make([]byte, 256)
				to.serve = func(_ context.Context, cmds [][]byte) []raftstore.Outcome {
					return []raftstore.Outcome{{Index: 1, Result: result}}
				}
				b.ReportAllocs()
				report := reportCPU(b)
				todo := make(chan struct{})
				var done sync.WaitGroup
				for range callers {
					done.Go(func() {
						cmds := [][]byte{make([]byte, 256)}
						for range todo {
							if _, err := from.Forward(context.Background(), 0xb, cmds); err != nil {
								b.Error(err)
							}
						}
					})
				}
				for b.Loop() {
					todo <- struct{}{}
				}
				close(todo)
				done.Wait()
				report()
			})
		})
	}
}

// inFlight is how many bulk messages a benchmark has on their way: 8 MiB.
const inFlight = 32

// sender is a member that sends to another one.
type sender struct {
	*host
	handler *sink
}

// benchPair starts a member with streams to another one, over the loopback
// device.
func benchPair(b *testing.B, secure bool) (sender, *sink) {
	newMember := newHost
	if secure {
		ca := testAuthority(b, "ca")
		newMember = func(t testing.TB, id uint64) *host {
			return newTLSHost(t, id, httppeer.Config{TLS: loadTLS(b, fileConfig(ca.files(b, "m")))})
		}
	}
	from, to := newMember(b, 0xa), newMember(b, 0xb)
	newSink := func(r *recorder) *sink {
		return &sink{recorder: r, control: make(chan struct{}, 1), bulk: make(chan struct{}, inFlight)}
	}
	here, s := newSink(from.rec), newSink(to.rec)
	s.answer = to.Send
	from.SetPeer(to.member)
	to.SetPeer(from.member)
	if err := from.Start(from.member, clusterID, here); err != nil {
		b.Fatal(err)
	}
	if err := to.Start(to.member, clusterID, s); err != nil {
		b.Fatal(err)
	}
	for from.Peers()[0].Streams < 2 || to.Peers()[0].Streams < 2 {
		time.Sleep(time.Millisecond)
	}
	return sender{from, here}, s
}

func eachWay(b *testing.B, f func(b *testing.B, secure bool)) {
	b.Run("plain", func(b *testing.B) { f(b, false) })
	b.Run("tls", func(b *testing.B) { f(b, true) })
}

// BenchmarkBulk is the throughput of messages of 256 KiB.
func BenchmarkBulk(b *testing.B) {
	eachWay(b, func(b *testing.B, secure bool) {
		from, to := benchPair(b, secure)
		message := make([]byte, 256<<10)
		b.SetBytes(int64(len(message)))
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			from.Send(raftstore.Message{To: 0xb, Bulk: true, Data: message})
			if n++; n > inFlight {
				<-to.bulk
			}
		}
		for range min(n, inFlight) {
			<-to.bulk
		}
	})
}

// BenchmarkControl is how long a control message is on its way, alone and while
// the bulk stream is full.
func BenchmarkControl(b *testing.B) {
	for _, busy := range []bool{false, true} {
		b.Run(fmt.Sprintf("busy=%v", busy), func(b *testing.B) {
			eachWay(b, func(b *testing.B, secure bool) {
				from, to := benchPair(b, secure)
				stop, done := make(chan struct{}), sync.WaitGroup{}
				if busy {
					done.Go(func() { saturate(from, to, stop) })
				}
				var took []time.Duration
				for b.Loop() {
					start := time.Now()
					from.Send(raftstore.Message{To: 0xb, Data: []byte("heartbeat")})
					<-to.control
					took = append(took, time.Since(start))
				}
				close(stop)
				done.Wait()
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			})
		})
	}
}

// saturate keeps the bulk stream full until stop is closed.
func saturate(from sender, to *sink, stop <-chan struct{}) {
	message := make([]byte, 256<<10)
	for range inFlight {
		from.Send(raftstore.Message{To: 0xb, Bulk: true, Data: message})
	}
	for {
		select {
		case <-stop:
			for range inFlight {
				<-to.bulk
			}
			return
		case <-to.bulk:
			from.Send(raftstore.Message{To: 0xb, Bulk: true, Data: message})
		}
	}
}

// BenchmarkSnapshot is the throughput of a snapshot of 8 files of 16 MiB, which
// are read twice, sent, written and synced.
func BenchmarkSnapshot(b *testing.B) {
	eachWay(b, func(b *testing.B, secure bool) {
		from, to := benchPair(b, secure)
		dir, content := b.TempDir(), make([]byte, 16<<20)
		for i := range 8 {
			writeTree(b, dir, map[string]string{fmt.Sprint(i): string(content)})
		}
		to.dir = filepath.Join(b.TempDir(), "in")
		b.SetBytes(8 * int64(len(content)))
		for b.Loop() {
			if err := os.MkdirAll(to.dir, 0o700); err != nil {
				b.Fatal(err)
			}
			if err := from.SendSnapshot(context.Background(), 0xb, nil, dir); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := os.RemoveAll(to.dir); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}
