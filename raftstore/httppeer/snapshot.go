package httppeer

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// A snapshot travels over a connection of its own, upgraded like a stream, on
// which both sides send frames:
//
//	sender    manifest: the raft message, and each file's name, size and CRC-32C
//	receiver  reply with the names of the files that it does not have whole from
//	          an earlier attempt
//	sender    the bytes of those files, in that order, in frames of at most
//	          maxChunk
//	receiver  reply that all is on its disk and taken
//
// In place of either reply, and at any time in between, the receiver may reply
// why it does not go on. An empty frame of the receiver says that it is at work;
// it sends one each beat.
const (
	snapshotPath = "/raft/v1/snapshot"
	maxChunk     = 256 << 10
	minChunk     = 4 << 10
	// receiverSilence is how long the receiver may be silent, senderSilence the
	// sender, who sends nothing while it waits for its disk or paces itself.
	receiverSilence = 10 * beat
	senderSilence   = 30 * beat
)

// manifest describes a snapshot.
type manifest struct {
	Head  []byte         `json:"head"`
	Files []manifestFile `json:"files"`
}

type manifestFile struct {
	Name string `json:"name"` // below the directory, with slashes
	Size int64  `json:"size"`
	CRC  uint32 `json:"crc32c"`
}

// reply is what the receiver says.
type reply struct {
	Need []string `json:"need,omitempty"`
	Done bool     `json:"done,omitempty"`
	Err  string   `json:"err,omitempty"`
}

// check verifies that the files can be there together, and below a directory.
func (m *manifest) check() error {
	files, dirs := make(map[string]bool), make(map[string]bool)
	for _, f := range m.Files {
		switch {
		case !fs.ValidPath(f.Name) || f.Name == "." || !filepath.IsLocal(filepath.FromSlash(f.Name)):
			return fmt.Errorf("file name %q leaves the snapshot", f.Name)
		case files[f.Name]:
			return fmt.Errorf("file %q is there twice", f.Name)
		case f.Size < 0:
			return fmt.Errorf("file %q has %d bytes", f.Name, f.Size)
		}
		files[f.Name] = true
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		if files[dir] {
			return fmt.Errorf("%q is a file and a directory", dir)
		}
	}
	return nil
}

// describe lists the regular files below dir.
func describe(ctx context.Context, dir string) ([]manifestFile, error) {
	var files []manifestFile
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is neither file nor directory", path)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		size, crc, err := checksum(ctx, path)
		files = append(files, manifestFile{filepath.ToSlash(name), size, crc})
		return err
	})
	return files, err
}

func checksum(ctx context.Context, path string) (size int64, crc uint32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	buf := make([]byte, maxChunk)
	for {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		n, err := f.Read(buf)
		size += int64(n)
		crc = crc32.Update(crc, castagnoli, buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			return size, crc, nil
		case err != nil:
			return 0, 0, err
		}
	}
}

// pacer holds a sender to a rate, so that a snapshot does not starve the log of
// disk and network.
type pacer struct {
	rate  int64 // bytes per second; 0 for any
	start time.Time
	sent  int64
}

func newPacer(rate int64) *pacer { return &pacer{rate: rate, start: time.Now()} }

// chunk is how much to send at a time.
func (p *pacer) chunk() int {
	if p.rate == 0 {
		return maxChunk
	}
	return int(min(max(p.rate/8, minChunk), maxChunk))
}

// wait returns when n more bytes may have been sent.
func (p *pacer) wait(ctx context.Context, n int) error {
	if p.rate == 0 {
		return ctx.Err()
	}
	p.sent += int64(n)
	due := time.Duration(float64(p.sent) / float64(p.rate) * float64(time.Second))
	ahead := due - time.Since(p.start)
	if ahead < 10*time.Millisecond {
		return ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
