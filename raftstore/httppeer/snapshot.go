package httppeer

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A snapshot travels over a connection of its own, upgraded like a stream, on
// which both sides send frames:
//
//	sender    manifest: the raft message, and each file's name, size and CRC-32C
//	receiver  names of the files it does not have from an earlier attempt
//	sender    those files, in that order, in frames of at most chunkSize; an empty
//	          frame ends a file
//	receiver  "" when all is on its disk and taken, else why not
const (
	snapshotPath = "/raft/v1/snapshot"
	chunkSize    = 256 << 10
	// verdictTimeout is how long a receiver may take to check, sync and take
	// what it got.
	verdictTimeout = 2 * time.Minute
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

// SendSnapshot sends the files below dir. It is paced by Config.SnapshotRate.
func (t *Transport) SendSnapshot(ctx context.Context, to uint64, head []byte, dir string) error {
	p := t.peer(to)
	if p == nil {
		return fmt.Errorf("httppeer: no peer %x", to)
	}
	m := manifest{Head: head}
	var err error
	if m.Files, err = describe(dir); err != nil {
		return fmt.Errorf("httppeer: read snapshot: %w", err)
	}
	u := p.url()
	conn, err := t.dial(p, u, snapshotPath)
	if err != nil {
		p.failed(u)
		return fmt.Errorf("httppeer: send snapshot to %s: %w", p.name, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := t.carryFiles(ctx, conn, m, dir); err != nil {
		return fmt.Errorf("httppeer: send snapshot to %s: %w", p.name, errors.Join(err, ctx.Err()))
	}
	return nil
}

func (t *Transport) carryFiles(ctx context.Context, conn net.Conn, m manifest, dir string) error {
	w := &frameWriter{conn: conn, pace: newPacer(t.snapshotRate)}
	r := bufio.NewReader(conn)
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := w.write(ctx, b); err != nil {
		return err
	}
	var need []string
	answer, err := readVerdict(conn, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, &need); err != nil {
		return fmt.Errorf("peer answered %q", answer)
	}
	for _, name := range need {
		if !slices.ContainsFunc(m.Files, func(f manifestFile) bool { return f.Name == name }) {
			return fmt.Errorf("peer wants %q, which was not offered", name)
		}
		if err := w.writeFile(ctx, filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	verdict, err := readVerdict(conn, r)
	if err == nil && len(verdict) > 0 {
		err = fmt.Errorf("peer refused it: %s", verdict)
	}
	return err
}

func readVerdict(conn net.Conn, r *bufio.Reader) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(verdictTimeout)); err != nil {
		return nil, err
	}
	return readFrame(r)
}

// describe lists the regular files below dir.
func describe(dir string) ([]manifestFile, error) {
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
		size, crc, err := checksum(path)
		files = append(files, manifestFile{filepath.ToSlash(name), size, crc})
		return err
	})
	return files, err
}

func checksum(path string) (size int64, crc uint32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	h := crc32.New(castagnoli)
	size, err = io.Copy(h, f)
	return size, h.Sum32(), err
}

// frameWriter writes paced frames.
type frameWriter struct {
	conn net.Conn
	pace *pacer
	buf  []byte
}

func (w *frameWriter) write(ctx context.Context, payload []byte) error {
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(len(payload)))
	w.buf = binary.BigEndian.AppendUint32(w.buf, crc32.Checksum(payload, castagnoli))
	w.buf = append(w.buf, payload...)
	if err := w.flush(); err != nil {
		return err
	}
	return w.pace.wait(ctx, len(payload))
}

func (w *frameWriter) flush() error {
	if err := w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := w.conn.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

func (w *frameWriter) writeFile(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(f, chunk)
		if n > 0 {
			if err := w.write(ctx, chunk[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return w.write(ctx, nil)
		}
		if err != nil {
			return err
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

// serveSnapshot receives a snapshot on an upgraded connection.
func (t *Transport) serveSnapshot(conn net.Conn, r *bufio.Reader) error {
	b, err := t.readChunk(conn, r)
	if err != nil {
		return err
	}
	w := &frameWriter{conn: conn, pace: newPacer(0)}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return errors.Join(err, w.write(t.ctx, fmt.Appendf(nil, "manifest: %v", err)))
	}
	dir, err := t.handler.BeginSnapshot(m.Head)
	if err != nil {
		return errors.Join(err, w.write(t.ctx, []byte(err.Error())))
	}
	err = t.receiveFiles(conn, r, w, m, dir)
	// The node takes it now, or lets another one come.
	if err = t.handler.EndSnapshot(m.Head, err); err != nil {
		return errors.Join(err, w.write(t.ctx, []byte(err.Error())))
	}
	return w.write(t.ctx, nil)
}

func (t *Transport) receiveFiles(conn net.Conn, r *bufio.Reader, w *frameWriter, m manifest, dir string) error {
	need, err := prepare(dir, m.Files)
	if err != nil {
		return err
	}
	names := make([]string, len(need))
	for i, f := range need {
		names[i] = f.Name
	}
	b, err := json.Marshal(names)
	if err != nil {
		return err
	}
	if err := w.write(t.ctx, b); err != nil {
		return err
	}
	for _, f := range need {
		if err := t.receiveFile(conn, r, f, filepath.Join(dir, filepath.FromSlash(f.Name))); err != nil {
			return fmt.Errorf("receive %s: %w", f.Name, err)
		}
	}
	return syncTree(dir)
}

func (t *Transport) readChunk(conn net.Conn, r *bufio.Reader) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
		return nil, err
	}
	return readFrame(r)
}

func (t *Transport) receiveFile(conn net.Conn, r *bufio.Reader, want manifestFile, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	h := crc32.New(castagnoli)
	var size int64
	for {
		chunk, err := t.readChunk(conn, r)
		if err != nil {
			return err
		}
		if len(chunk) == 0 {
			break
		}
		if size += int64(len(chunk)); size > want.Size {
			return errors.New("file is larger than announced")
		}
		h.Write(chunk)
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	if size != want.Size || h.Sum32() != want.CRC {
		return fmt.Errorf("got %d bytes with checksum %08x, want %d with %08x", size, h.Sum32(), want.Size, want.CRC)
	}
	return f.Sync()
}

// prepare removes from dir what does not belong to files, and returns those of
// files that are not there whole.
func prepare(dir string, files []manifestFile) (need []manifestFile, err error) {
	for _, f := range files {
		if !fs.ValidPath(f.Name) || f.Name == "." {
			return nil, fmt.Errorf("file name %q leaves the snapshot", f.Name)
		}
	}
	have, err := describe(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range have {
		if !slices.Contains(files, f) {
			if err := os.Remove(filepath.Join(dir, filepath.FromSlash(f.Name))); err != nil {
				return nil, err
			}
		}
	}
	for _, f := range files {
		if !slices.Contains(have, f) {
			need = append(need, f)
		}
	}
	return need, nil
}

// syncTree makes the names below dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
}
