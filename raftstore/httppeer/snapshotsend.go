package httppeer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// SendSnapshot sends the files below dir. It is paced by Config.SnapshotRate.
// After a failure the next attempt leaves out the files that have arrived.
func (t *Transport) SendSnapshot(ctx context.Context, to uint64, head []byte, dir string) error {
	m := manifest{Head: head}
	var err error
	if m.Files, err = describe(ctx, dir); err != nil {
		return fmt.Errorf("httppeer: read snapshot: %w", err)
	}
	err = t.call(ctx, to, func(ctx context.Context, p *peer) error {
		conn, _, err := t.dial(ctx, p, snapshotPath, "")
		if err != nil {
			return err
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		return newSnapshotSender(t, conn).send(ctx, m, dir)
	})
	if err != nil {
		return fmt.Errorf("httppeer: send snapshot to %x: %w", to, errors.Join(err, ctx.Err()))
	}
	return nil
}

// snapshotSender is one attempt to send a snapshot. While the caller writes, a
// goroutine listens, so that a refusal is known at once; it ends with the
// connection.
type snapshotSender struct {
	conn    *patientConn
	pace    *pacer
	frame   []byte // head and payload of the next one
	replies chan reply
	failure error // why there are no more replies; set before replies is closed
}

func newSnapshotSender(t *Transport, conn *patientConn) *snapshotSender {
	conn.silence, conn.onMotion = receiverSilence, func(int, int, time.Time) {}
	pace := newPacer(t.snapshotRate)
	s := &snapshotSender{
		conn: conn, pace: pace, frame: make([]byte, frameHead+pace.chunk()),
		replies: make(chan reply, 2), // as many as there are in a whole conversation
	}
	t.tasks.Go(s.listen)
	return s
}

func (s *snapshotSender) listen() {
	defer close(s.replies)
	for range cap(s.replies) {
		r, err := readReply(s.conn)
		if err != nil {
			s.failure = err
			return
		}
		s.replies <- r
	}
	s.failure = errMalformed
}

// readReply returns the next frame that is more than a sign of life.
func readReply(r io.Reader) (reply, error) {
	for {
		b, err := readFrame(r)
		if err != nil {
			return reply{}, err
		}
		if len(b) == 0 {
			continue
		}
		var answer reply
		if err := json.Unmarshal(b, &answer); err != nil {
			return reply{}, fmt.Errorf("peer answered %q", b)
		}
		return answer, nil
	}
}

// reply waits for what the receiver says, and makes an error of a refusal.
func (s *snapshotSender) reply() (reply, error) {
	r, ok := <-s.replies
	if !ok {
		return r, s.failure
	}
	if r.Err != "" {
		return r, fmt.Errorf("peer refused it: %s", r.Err)
	}
	return r, nil
}

func (s *snapshotSender) send(ctx context.Context, m manifest, dir string) error {
	if err := s.sendManifest(m); err != nil {
		return err
	}
	r, err := s.reply()
	if err != nil {
		return err
	}
	for _, name := range r.Need {
		i := slices.IndexFunc(m.Files, func(f manifestFile) bool { return f.Name == name })
		if i < 0 {
			return fmt.Errorf("peer wants %q, which was not offered", name)
		}
		if err := s.sendFile(ctx, m.Files[i], dir); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	r, err = s.reply()
	if err == nil && !r.Done {
		err = errMalformed
	}
	return err
}

func (s *snapshotSender) sendManifest(m manifest) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > maxFrame {
		return fmt.Errorf("a snapshot of %d files has too many", len(m.Files))
	}
	w := bufio.NewWriter(s.conn)
	writeFrame(w, b)
	return w.Flush()
}

func (s *snapshotSender) sendFile(ctx context.Context, file manifestFile, dir string) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(file.Name)))
	if err != nil {
		return err
	}
	defer f.Close()
	for left := file.Size; left > 0; {
		chunk := s.frame[frameHead:]
		chunk = chunk[:min(left, int64(len(chunk)))]
		if _, err := io.ReadFull(f, chunk); err != nil {
			return err // the file has become shorter
		}
		if err := s.sendChunk(ctx, len(chunk)); err != nil {
			return err
		}
		left -= int64(len(chunk))
	}
	return nil
}

// sendChunk sends the payload of n bytes that is in s.frame.
func (s *snapshotSender) sendChunk(ctx context.Context, n int) error {
	if len(s.replies) > 0 { // before it has everything
		if _, err := s.reply(); err != nil {
			return err
		}
		return errMalformed
	}
	if _, err := s.conn.Write(sealFrame(s.frame[:frameHead+n])); err != nil {
		// The receiver may have said why before it hung up.
		_, refusal := s.reply()
		return errors.Join(refusal, err)
	}
	return s.pace.wait(ctx, n)
}
