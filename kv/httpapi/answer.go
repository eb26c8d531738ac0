package httpapi

import (
	"net/http"
	"strconv"
	"time"
)

// head is what the head of an answer to a key request tells, besides that JSON
// follows and whose cluster it comes from.
type head struct {
	status int
	index  uint64 // X-Etcd-Index
	oldest string // X-Etcd-Oldest-Index, if any

	raft                bool // whether there are the two
	raftIndex, raftTerm uint64
}

// An answer takes what there is to say about one key request to whoever sent it:
// by whole alone, or by begin, parts and maybe flushes. What has been said when
// the handler returns is the answer. Each front has its own kind.
type answer interface {
	// whole answers with a body and its length.
	whole(h *head, body []byte)
	// begin answers with a body whose length is not known.
	begin(h *head) error
	// part adds to the body. It need not go out before flush, or the end.
	part(b []byte) error
	flush() error
	// allow says how long it may take to send what comes now.
	allow(d time.Duration)
	// park says that nothing may come for a long time, in which the client may do
	// as it likes. If it goes, the request's context ends.
	park()
	// abort breaks off an answer that has begun, so that the client notices.
	abort()
}

// httpAnswer answers by net/http.
type httpAnswer struct {
	w    http.ResponseWriter
	conn *http.ResponseController
	api  *API
}

func (w *httpAnswer) whole(h *head, body []byte) {
	w.headers(h)
	writeJSON(w.w, h.status, body)
}

func (w *httpAnswer) begin(h *head) error {
	w.headers(h)
	w.w.Header()["Content-Type"] = jsonType
	w.w.WriteHeader(h.status)
	return nil
}

func (w *httpAnswer) part(b []byte) error {
	_, err := w.w.Write(b)
	return err
}

func (w *httpAnswer) flush() error { return w.conn.Flush() }

// A server without bounds of time for watches does not have them for others
// either, so it does not matter that some cannot set any.
func (w *httpAnswer) allow(d time.Duration) {
	_ = w.conn.SetReadDeadline(time.Time{})
	_ = w.conn.SetWriteDeadline(time.Now().Add(d))
}

func (w *httpAnswer) park() {
	_ = w.conn.SetReadDeadline(time.Time{})
	_ = w.conn.SetWriteDeadline(time.Time{})
}

func (w *httpAnswer) abort() { panic(http.ErrAbortHandler) }

func (w *httpAnswer) headers(h *head) {
	to := w.w.Header()
	w.api.clusterHeader(to)
	to["X-Etcd-Index"] = number(h.index)
	if h.oldest != "" {
		to["X-Etcd-Oldest-Index"] = []string{h.oldest}
	}
	if h.raft {
		to["X-Raft-Index"], to["X-Raft-Term"] = number(h.raftIndex), number(h.raftTerm)
	}
}

func number(n uint64) []string { return []string{strconv.FormatUint(n, 10)} }
