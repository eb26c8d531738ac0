//go:build linux

package netlab_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strakeproject/strake/examples/lab/netlab"
)

// network makes a network of two hosts.
func network(t *testing.T) (n *netlab.Network, a, b *netlab.Host) {
	t.Helper()
	n, err := netlab.New(1)
	if errors.Is(err, netlab.ErrNotRoot) {
		t.Skip("needs root to make network namespaces")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	var hosts []*netlab.Host
	for _, name := range []string{"a", "b"} {
		h, err := n.AddHost(name)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	return n, hosts[0], hosts[1]
}

// connect connects a to b and returns both ends.
func connect(t *testing.T, a, b *netlab.Host) (from, to net.Conn) {
	t.Helper()
	l, err := b.Listen(t.Context(), "tcp", net.JoinHostPort(b.Addr().String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if from, err = a.DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	if to, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	return from, to
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("received %q (%v), want %q", got, err, want)
	}
}

func TestACutIsOneWayAndHeals(t *testing.T) {
	n, a, b := network(t)
	from, to := connect(t, a, b)
	send(t, from, "ping")
	receive(t, to, "ping")
	n.Set(b, a, netlab.Link{Cut: true})
	send(t, from, "to b")
	receive(t, to, "to b") // acknowledged or not
	send(t, to, "to a")
	if err := from.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if got, err := from.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes (%v) across a cut, want a time-out", got, err)
	}
	n.Heal()
	if err := from.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	receive(t, from, "to a")
}

func TestADelayIsInEachDirection(t *testing.T) {
	n, a, b := network(t)
	from, to := connect(t, a, b)
	const delay = 30 * time.Millisecond
	n.SetBoth(a, b, netlab.Link{Delay: delay})
	start := time.Now()
	send(t, from, "ping")
	receive(t, to, "ping")
	send(t, to, "pong")
	receive(t, from, "pong")
	if took := time.Since(start); took < 2*delay {
		t.Errorf("there and back took %s, want at least %s", took, 2*delay)
	}
}

func TestALossyLinkStillCarriesAConnection(t *testing.T) {
	n, a, b := network(t)
	from, to := connect(t, a, b)
	n.SetBoth(a, b, netlab.Link{Loss: 0.05, Jitter: time.Millisecond})
	want := bytes.Repeat([]byte("0123456789abcdef"), 8<<10)
	go func() {
		_, _ = from.Write(want) // the reader sees what is missing
		from.Close()
	}()
	got, err := io.ReadAll(to)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("received %d bytes (%v), want the %d that were sent", len(got), err, len(want))
	}
}

func TestAProcessSeesItsHostAlone(t *testing.T) {
	_, a, _ := network(t)
	var out bytes.Buffer
	cmd := exec.Command("cat", "/proc/net/fib_trie")
	cmd.Stdout = &out
	p, err := a.Start(cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Err() != nil || !strings.Contains(out.String(), a.Addr().String()) {
		t.Errorf("process ended with %v and sees %q, want the address %s", p.Err(), out.String(), a.Addr())
	}
}

func TestCloseKillsWhatRunsEvenIfItIsStopped(t *testing.T) {
	n, a, b := network(t)
	var processes []*netlab.Process
	for _, h := range []*netlab.Host{a, b} {
		p, err := h.Start(exec.Command("sleep", "600"), nil)
		if err != nil {
			t.Fatal(err)
		}
		processes = append(processes, p)
	}
	if err := processes[0].Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	n.Close()
	for i, p := range processes {
		select {
		case <-p.Done():
		default:
			t.Errorf("process %d goes on after Close", i)
		}
	}
	if _, err := a.Start(exec.Command("true"), nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("start after Close: %v, want %v", err, os.ErrClosed)
	}
	if _, err := a.DialContext(context.Background(), "tcp", "10.77.0.1:1"); err == nil {
		t.Error("dial after Close succeeds")
	}
}

func TestAProcessThatCannotBePreparedIsNotStarted(t *testing.T) {
	_, a, _ := network(t)
	broken := errors.New("broken")
	if _, err := a.Start(exec.Command("true"), func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("start: %v, want %v", err, broken)
	}
	if _, err := a.Start(exec.Command("/nonexistent"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("start of nothing: %v, want %v", err, os.ErrNotExist)
	}
}
