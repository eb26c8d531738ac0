package datasource

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// openSerial opens a serial port for bytes as they are, at 115200 baud.
func openSerial(path string) (io.ReadWriteCloser, error) {
	// Without blocking, so that closing the port ends a read.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	port := unix.Termios{
		Cflag:  unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200,
		Ispeed: unix.B115200,
		Ospeed: unix.B115200,
	}
	port.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &port); err != nil {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "set up", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
