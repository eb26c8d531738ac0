package httppeer

import (
	"bufio"
	"encoding/json"
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

// syncEvery is how much of a snapshot is written between two syncs: so little
// that a log on the same disk does not wait long behind one, and yet so much that
// the disk writes as fast as it can.
const syncEvery = 2 << 20

// serveSnapshot receives a snapshot on an upgraded connection.
func (t *Transport) serveSnapshot(conn *patientConn) error {
	conn.silence = senderSilence
	b, err := readFrame(conn)
	if err != nil {
		return err
	}
	r := &receiver{t: t, conn: conn, writing: make(chan struct{}, 1)}
	done := make(chan struct{})
	defer close(done)
	t.tasks.Go(func() { r.stayAlive(done) })
	if err = r.receive(b); err == nil {
		return r.reply(reply{Done: true})
	}
	if r.reply(reply{Err: err.Error()}) == nil {
		r.linger()
	}
	return err
}

// stayAlive tells the sender each beat that this side is at work: to check, to
// sync and to take what was sent may take minutes.
func (r *receiver) stayAlive(done <-chan struct{}) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			if r.write(nil) != nil {
				return // which shows elsewhere, too
			}
		}
	}
}

// receiver is one attempt of a peer to send a snapshot.
type receiver struct {
	t    *Transport
	conn *patientConn

	writing chan struct{} // holds an item while a frame is written
	chunk   []byte        // the latest, to be overwritten by the next
	syncing chan error    // receives how the sync under way went; nil if none is
}

// receive takes the snapshot that a manifest announces.
func (r *receiver) receive(b []byte) error {
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	dir, err := r.t.handler.BeginSnapshot(m.Head)
	if err != nil {
		return err
	}
	err = r.receiveFiles(m, dir)
	// The node takes it now, or lets another one come.
	return r.t.handler.EndSnapshot(m.Head, err)
}

func (r *receiver) receiveFiles(m manifest, dir string) error {
	need, err := r.prepare(dir, m)
	if err != nil {
		return err
	}
	var answer reply
	for _, f := range need {
		answer.Need = append(answer.Need, f.Name)
	}
	if err := r.reply(answer); err != nil {
		return err
	}
	for _, f := range need {
		if err := r.receiveFile(f, filepath.Join(dir, filepath.FromSlash(f.Name))); err != nil {
			return fmt.Errorf("receive %s: %w", f.Name, errors.Join(err, r.synced()))
		}
	}
	if err := r.synced(); err != nil {
		return err
	}
	return syncTree(dir)
}

// syncBehind has f sync something while more is received. The sync before it must
// be over.
func (r *receiver) syncBehind(f func() error) {
	done := make(chan error, 1)
	r.syncing = done
	r.t.tasks.Go(func() { done <- f() })
}

// synced waits for the sync under way, if any, and returns how it went.
func (r *receiver) synced() error {
	if r.syncing == nil {
		return nil
	}
	err := <-r.syncing
	r.syncing = nil
	return err
}

// prepare removes from dir what does not belong to the snapshot, and returns the
// files that are not there whole.
func (r *receiver) prepare(dir string, m manifest) (need []manifestFile, err error) {
	want, parents := make(map[string]manifestFile), make(map[string]bool)
	for _, f := range m.Files {
		want[f.Name] = f
		for d := path.Dir(f.Name); !parents[d]; d = path.Dir(d) {
			parents[d] = true
		}
	}
	have := make(map[string]bool)
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir() && (name == "." || parents[name]):
			return nil
		case d.IsDir():
			if err := os.RemoveAll(file); err != nil {
				return err
			}
			return fs.SkipDir
		}
		have[name], err = r.isWhole(file, d, want[name])
		if err != nil || have[name] {
			return err
		}
		return os.Remove(file)
	})
	for _, f := range m.Files {
		if !have[f.Name] {
			need = append(need, f)
		}
	}
	return need, err
}

// isWhole reports whether a file is the one that is wanted. If so it is synced:
// the attempt that wrote it may have ended before that.
func (r *receiver) isWhole(file string, d fs.DirEntry, want manifestFile) (bool, error) {
	info, err := d.Info()
	if err != nil || want.Name == "" || !info.Mode().IsRegular() || info.Size() != want.Size {
		return false, err
	}
	_, crc, err := checksum(r.t.ctx, file)
	if err != nil || crc != want.CRC {
		return false, err
	}
	return true, syncFile(file)
}

// receiveFile writes a file, and leaves its last part to be synced. If any of that
// fails nothing of it stays: a file whose sync has failed looks whole.
func (r *receiver) receiveFile(want manifestFile, file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// A failed sync is told of once, so this file's earlier ones must be heard.
	if err := errors.Join(r.copyFile(f, want), r.synced()); err != nil {
		return errors.Join(err, f.Close(), os.Remove(file))
	}
	r.syncBehind(func() error {
		err := errors.Join(f.Sync(), f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(file))
		}
		return err
	})
	return nil
}

func (r *receiver) copyFile(f *os.File, want manifestFile) error {
	var size, synced int64
	var crc uint32
	for size < want.Size {
		chunk, err := readFrameInto(r.conn, r.chunk)
		if err != nil {
			return err
		}
		r.chunk = chunk
		if size += int64(len(chunk)); size > want.Size || len(chunk) == 0 {
			return errMalformed
		}
		crc = crc32.Update(crc, castagnoli, chunk)
		if _, err := f.Write(chunk); err != nil {
			return err
		}
		if size-synced < syncEvery {
			continue
		}
		synced = size
		if err := r.synced(); err != nil {
			return err
		}
		r.syncBehind(f.Sync)
	}
	if crc != want.CRC {
		return fmt.Errorf("got checksum %08x, want %08x", crc, want.CRC)
	}
	return nil
}

// reply sends an answer.
func (r *receiver) reply(a reply) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return r.write(b)
}

func (r *receiver) write(payload []byte) error {
	r.writing <- struct{}{}
	defer func() { <-r.writing }()
	w := bufio.NewWriter(r.conn)
	writeFrame(w, payload)
	return w.Flush()
}

// linger reads on for a moment after a refusal: to hang up while the sender
// writes would make its system forget the refusal.
func (r *receiver) linger() {
	// An error shows in the reads.
	_ = r.conn.Conn.SetReadDeadline(time.Now().Add(writeTimeout))
	_, _ = io.Copy(io.Discard, r.conn.reader)
}

// syncTree makes the names below dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncFile(path)
	})
}

// syncFile makes a file's content, or a directory's names, durable.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
