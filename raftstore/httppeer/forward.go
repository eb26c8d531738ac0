package httppeer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

const (
	forwardPath = "/raft/v1/forward"
	// maxForward bounds the body of a forwarded batch.
	maxForward = 64 << 20
	// forwardSilence is how long the answer to a forward may be silent. While it
	// works the other side sends a byte each beat.
	forwardSilence = 10 * beat

	forwardWorking = 0 // precedes what is below
	forwardDone    = 1
)

// Forward posts commands to a peer. A batch that is too large for one request
// goes in several, one after the other; a command that is too large alone fails
// with ErrTooLarge. Nothing is ever sent twice.
//
//	request   uvarint count, then per command uvarint length, bytes
//	response  0 for each second it takes, 1, uvarint count, then per outcome a
//	          status byte, uvarint index, uvarint length, result
func (t *Transport) Forward(ctx context.Context, to uint64, cmds [][]byte) ([]raftstore.Outcome, error) {
	var outs []raftstore.Outcome
	for first := true; len(cmds) > 0; first = false {
		n := batchOf(cmds)
		if n == 0 {
			outs = append(outs, raftstore.Outcome{Err: raftstore.ErrTooLarge})
			cmds = cmds[1:]
			continue
		}
		part, err := t.forward(ctx, to, cmds[:n])
		if err != nil && first && n == len(cmds) {
			return nil, err
		}
		if err != nil {
			part = failed(n, err)
		}
		outs = append(outs, part...)
		cmds = cmds[n:]
	}
	return outs, nil
}

// batchOf returns how many of the commands go into one request. 0 means that
// the first one does not.
func batchOf(cmds [][]byte) int {
	size := 10 // more than a count takes, and a length
	for i, c := range cmds {
		if size += 10 + len(c); size > maxForward {
			return i
		}
	}
	return len(cmds)
}

func failed(n int, err error) []raftstore.Outcome {
	outs := make([]raftstore.Outcome, n)
	for i := range outs {
		outs[i].Err = err
	}
	return outs
}

// forward posts one batch, as large as goes into a request.
func (t *Transport) forward(ctx context.Context, to uint64, cmds [][]byte) (outs []raftstore.Outcome, err error) {
	var conns []*keptConn // that were to be written to
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			c := info.Conn.(*keptConn) // see New
			c.begin(info.Reused)
			conns = append(conns, c)
		},
	})
	refused := false
	err = t.call(ctx, to, func(ctx context.Context, p *peer) error {
		var resp *http.Response
		if resp, err = t.post(ctx, p, encodeCommands(cmds)); err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			refused = isRefusal(resp.StatusCode)
			return t.answerError(resp)
		}
		outs, err = readOutcomes(ctx, resp.Body)
		if err == nil && len(outs) != len(cmds) {
			err = fmt.Errorf("%d outcomes for %d commands", len(outs), len(cmds))
		}
		return err
	})
	switch {
	case err == nil:
		return outs, nil
	case refused || !slices.ContainsFunc(conns, (*keptConn).abandon):
		return nil, fmt.Errorf("%w: forward to %x: %w", raftstore.ErrDropped, to, err)
	}
	return nil, fmt.Errorf("%w: forward to %x: %w", raftstore.ErrOutcomeUnknown, to, err)
}

func (t *Transport) post(ctx context.Context, p *peer, body []byte) (*http.Response, error) {
	u, err := p.url()
	if err != nil {
		return nil, err
	}
	req, err := t.request(ctx, http.MethodPost, u+forwardPath, p.id, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := t.client.Do(req)
	if err != nil {
		p.failed(u)
	}
	return resp, err
}

// isRefusal reports whether an answer says that the commands were not looked at.
// Of a server error that cannot be known: it may come from something in between.
func isRefusal(status int) bool {
	return status < 500 || status == http.StatusServiceUnavailable
}

// readOutcomes reads an answer, and gives up when it is silent.
func readOutcomes(ctx context.Context, body io.ReadCloser) ([]raftstore.Outcome, error) {
	timer := time.AfterFunc(forwardSilence, func() { body.Close() })
	defer timer.Stop()
	r := &watchedReader{r: body, timer: timer}
	var status [1]byte
	for {
		if _, err := io.ReadFull(r, status[:]); err != nil {
			return nil, fmt.Errorf("answer breaks off: %w", errors.Join(ctx.Err(), err))
		}
		if status[0] != forwardWorking {
			break
		}
	}
	if status[0] != forwardDone {
		return nil, errMalformed
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("answer breaks off: %w", errors.Join(ctx.Err(), err))
	}
	return decodeOutcomes(b)
}

// watchedReader puts a timer off whenever something arrives.
type watchedReader struct {
	r     io.Reader
	timer *time.Timer
}

func (w *watchedReader) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	w.timer.Reset(forwardSilence)
	return n, err
}

func (t *Transport) serveForward(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	cmds, err := t.readCommands(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	done := make(chan []raftstore.Outcome, 1)
	t.tasks.Go(func() { done <- t.handler.ServeForward(ctx, cmds) })
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	// A failed write leaves the peer not knowing, which is what it then reports.
	out := http.NewResponseController(w)
	for {
		select {
		case outs := <-done:
			_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
			_, _ = w.Write(encodeOutcomes([]byte{forwardDone}, outs))
			return
		case <-ticker.C:
			_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
			_, _ = w.Write([]byte{forwardWorking})
			_ = out.Flush()
		}
	}
}

// readCommands reads a batch, however slowly it comes, as long as it comes.
func (t *Transport) readCommands(w http.ResponseWriter, r *http.Request) ([][]byte, error) {
	in := http.NewResponseController(w)
	defer context.AfterFunc(t.ctx, func() { _ = in.SetReadDeadline(time.Now()) })()
	body := http.MaxBytesReader(w, r.Body, maxForward)
	var b bytes.Buffer
	for {
		if err := in.SetReadDeadline(time.Now().Add(forwardSilence)); err != nil {
			return nil, err
		}
		if t.ctx.Err() != nil {
			return nil, errNotRunning
		}
		_, err := io.CopyN(&b, body, piece)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if err := in.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return decodeCommands(b.Bytes())
}
