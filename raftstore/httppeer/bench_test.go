package httppeer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// sink is a node that only notes what arrives.
type sink struct {
	*recorder
	control, bulk chan struct{}
}

func (s *sink) Receive(_ uint64, data []byte) error {
	if len(data) < 100 {
		s.control <- struct{}{}
	} else {
		s.bulk <- struct{}{}
	}
	return nil
}

// inFlight is how many bulk messages a benchmark has on their way: 8 MiB.
const inFlight = 32

// benchPair starts a member with streams to another one, over the loopback
// device.
func benchPair(b *testing.B, secure bool) (*host, *sink) {
	newMember := newHost
	if secure {
		ca := testAuthority(b, "ca")
		newMember = func(t testing.TB, id uint64) *host {
			return newTLSHost(t, id, httppeer.Config{TLS: loadTLS(b, fileConfig(ca.files(b, "m"))), SnapshotRate: -1})
		}
	}
	from, to := newMember(b, 0xa), newMember(b, 0xb)
	if !secure {
		from.Transport = httppeer.New(httppeer.Config{})
		b.Cleanup(from.Stop)
	}
	s := &sink{recorder: to.rec, control: make(chan struct{}, 1), bulk: make(chan struct{}, inFlight)}
	from.start(b, to.member)
	if err := to.Start(to.member, clusterID, s); err != nil {
		b.Fatal(err)
	}
	for from.Peers()[0].Streams < 2 {
		time.Sleep(time.Millisecond)
	}
	return from, s
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
func saturate(from *host, to *sink, stop <-chan struct{}) {
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
