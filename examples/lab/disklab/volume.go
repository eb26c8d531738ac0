//go:build linux

package disklab

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Volume is a file system of a given size, in memory, that can be filled up. It
// is mounted nowhere: only who holds it open can reach it, and it goes with the
// last of them, however they end. All methods are safe for concurrent use.
type Volume struct {
	root *os.File

	mu      sync.Mutex
	ballast *os.File // takes what room is left; nil while there is room
}

// NewVolume makes an empty volume. It takes root.
func NewVolume(bytes int64) (*Volume, error) {
	fd, err := mountDetached(bytes)
	if err != nil {
		return nil, fmt.Errorf("disklab: make a volume: %w", err)
	}
	return &Volume{root: os.NewFile(uintptr(fd), "volume")}, nil
}

func mountDetached(bytes int64) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "size", fmt.Sprint(bytes)); err != nil {
		return 0, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return 0, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// File is the root of the volume, to be passed on to a process, which finds it at
// /proc/self/fd/N, N being the number it has there.
func (v *Volume) File() *os.File { return v.root }

// Path is the root of the volume in this process.
func (v *Volume) Path() string { return fmt.Sprintf("/proc/self/fd/%d", v.root.Fd()) }

// Fill takes all room that is left, so that whoever writes runs out of it.
func (v *Volume) Fill() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ballast == nil {
		f, err := os.Create(filepath.Join(v.Path(), ".ballast"))
		if err != nil {
			return err
		}
		v.ballast = f
	}
	// What others give up meanwhile is taken by the next call.
	if _, err := v.ballast.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	_, err := io.CopyN(v.ballast, zeros{}, math.MaxInt64)
	if errors.Is(err, unix.ENOSPC) {
		err = nil
	}
	return err
}

// Free gives the room back that Fill took.
func (v *Volume) Free() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ballast == nil {
		return nil
	}
	err := errors.Join(v.ballast.Close(), os.Remove(filepath.Join(v.Path(), ".ballast")))
	v.ballast = nil
	return err
}

// Close lets go of the volume.
func (v *Volume) Close() {
	_ = v.Free() // the root goes in any case
	v.root.Close()
}

// zeros reads as zeros without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
