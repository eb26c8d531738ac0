package datasource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal returns the far end of a pseudo-terminal, and the path of the near one.
func terminal(t *testing.T) (*os.File, string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	far := os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { far.Close() })
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	return far, fmt.Sprintf("/dev/pts/%d", number)
}

// open opens a terminal as a serial port.
func open(t *testing.T, path string) func() (io.ReadWriteCloser, error) {
	return func() (io.ReadWriteCloser, error) {
		port, err := openSerial(path)
		if err != nil {
			t.Skipf("no pseudo-terminals here: %v", err)
		}
		return port, nil
	}
}

// TestASerialPortHandsOutBytesAsTheyAre: nothing is echoed, and what a terminal
// makes of an end of transmission or a line's end is not made of it.
func TestASerialPortHandsOutBytesAsTheyAre(t *testing.T) {
	far, path := terminal(t)
	go func() {
		question := make([]byte, len(sigmaQuestion))
		if _, err := io.ReadFull(far, question); err == nil && string(question) == sigmaQuestion {
			fmt.Fprint(far, "{\"meta\":{\"cloudinit-user-data\":\"\x7fa\"},\r\n\"name\":\"b\"}\x04")
		}
	}()
	data, err := CloudSigma(CloudSigmaOptions{Open: open(t, path)}).UserData(t.Context())
	if err != nil || string(data) != "\x7fa" {
		t.Errorf("UserData() = %q, %v, want %q", data, err, "\x7fa")
	}
}

// TestASilentSerialPortIsClosed by the end of the context.
func TestASilentSerialPortIsClosed(t *testing.T) {
	far, path := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel() // once the question is there, nothing follows
		_, _ = io.ReadFull(far, make([]byte, len(sigmaQuestion)))
	}()
	_, err := CloudSigma(CloudSigmaOptions{Open: open(t, path)}).UserData(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("UserData() = %v, want the end of the context", err)
	}
}
