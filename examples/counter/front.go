package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/strakeproject/strake/raftstore"
)

// requestTimeout bounds how long a request waits for a leader and a quorum:
// some elections, and short enough for somebody to wait.
const requestTimeout = 5 * time.Second

// maxName bounds the name of a register, which is part of every command.
const maxName = 4 << 10

// newFront returns the HTTP front of a member.
//
//	GET    /registers/NAME                    {"name","value"}, linearizable
//	GET    /registers                         all of them, with the log position
//	POST   /registers/NAME?add=N              {"old","value","changed"}
//	PUT    /registers/NAME?value=N[&old=N]    the same; 409 if it does not hold old
//	GET    /status                            the member's view, at once
//	GET    /members
//	POST   /members?name=NAME&url=URL         adds a member without a vote
//	POST   /members/ID/promote                gives it one
//	DELETE /members/ID
//
// A request that fails with 503 has changed nothing and may be sent again; one
// that fails with 504 may have been carried out, or may yet be.
func newFront(m *member) http.Handler {
	f := front{m}
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(context.Context, *http.Request) (any, error){
		"GET /registers/{name}":      f.read,
		"GET /registers":             f.readAll,
		"POST /registers/{name}":     f.add,
		"PUT /registers/{name}":      f.set,
		"GET /status":                f.status,
		"GET /members":               f.members,
		"POST /members":              f.addMember,
		"POST /members/{id}/promote": f.promote,
		"DELETE /members/{id}":       f.remove,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
			defer cancel()
			v, err := h(ctx, r)
			if err != nil {
				http.Error(w, err.Error(), statusOf(err))
				return
			}
			w.Header().Set("Content-Type", "application/json")
			if res, ok := v.(result); ok && !res.Changed {
				w.WriteHeader(http.StatusConflict)
			}
			_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
		})
	}
	return mux
}

// errBad marks what the client got wrong.
var errBad = errors.New("bad request")

func statusOf(err error) int {
	switch {
	case errors.Is(err, raftstore.ErrOutcomeUnknown): // first: others may match, too
		return http.StatusGatewayTimeout
	case errors.Is(err, raftstore.ErrDropped), errors.Is(err, raftstore.ErrNoLeader):
		return http.StatusServiceUnavailable
	case errors.Is(err, errBad):
		return http.StatusBadRequest
	case errors.Is(err, raftstore.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, raftstore.ErrUnknownMember), errors.Is(err, raftstore.ErrRemoved):
		return http.StatusNotFound
	case errors.Is(err, raftstore.ErrMemberExists), errors.Is(err, raftstore.ErrNotCaughtUp), errors.Is(err, raftstore.ErrWouldLoseQuorum):
		return http.StatusConflict
	default:
		return http.StatusServiceUnavailable
	}
}

type front struct{ *member }

func (f front) read(ctx context.Context, r *http.Request) (any, error) {
	name := r.PathValue("name")
	value, err := f.member.read(ctx, name)
	return map[string]any{"name": name, "value": value}, err
}

func (f front) readAll(ctx context.Context, _ *http.Request) (any, error) {
	_, err := f.node.ReadBarrier(ctx)
	im := f.state.all()
	return map[string]any{"index": im.Position.Index, "registers": im.Values}, err
}

func (f front) add(ctx context.Context, r *http.Request) (any, error) {
	n, err := number(r, "add")
	if err != nil {
		return nil, err
	}
	return f.change(ctx, r, command{Op: "add", Value: n})
}

func (f front) set(ctx context.Context, r *http.Request) (any, error) {
	c := command{Op: "set"}
	var err error
	if r.URL.Query().Has("old") {
		c.Op = "cas"
		c.Old, err = number(r, "old")
	}
	value, verr := number(r, "value")
	if err = errors.Join(err, verr); err != nil {
		return nil, err
	}
	c.Value = value
	return f.change(ctx, r, c)
}

func (f front) change(ctx context.Context, r *http.Request, c command) (any, error) {
	if c.Name = r.PathValue("name"); len(c.Name) > maxName {
		return nil, fmt.Errorf("%w: name of %d bytes, limit %d", errBad, len(c.Name), maxName)
	}
	return f.do(ctx, c)
}

func number(r *http.Request, param string) (int64, error) {
	text := r.URL.Query().Get(param)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s=%q is no number", errBad, param, text)
	}
	return n, nil
}

func (f front) status(context.Context, *http.Request) (any, error) {
	st := f.node.Status()
	return map[string]any{
		"id": hex(st.ID), "cluster": hex(st.ClusterID), "role": st.Role, "term": st.Term, "leader": hex(st.Leader),
		"commit": st.Commit, "applied": st.Applied, "durable": f.state.Durable(), "first": st.First, "last": st.Last,
	}, nil
}

// memberView is a member as clients see it.
type memberView struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	URLs    []string `json:"urls"`
	Learner bool     `json:"learner"`
	Storage string   `json:"storage"` // identifies its disk; "0" until it was seen
}

func viewOf(m raftstore.Member) memberView {
	return memberView{hex(m.ID), m.Name, m.PeerURLs, m.Learner, hex(m.Storage)}
}

func (f front) members(ctx context.Context, _ *http.Request) (any, error) {
	_, err := f.node.ReadBarrier(ctx)
	views := []memberView{}
	for _, m := range f.node.Members() {
		views = append(views, viewOf(m))
	}
	return views, err
}

func (f front) addMember(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	if q.Get("name") == "" || q.Get("url") == "" {
		return nil, fmt.Errorf("%w: want name and url of the new member", errBad)
	}
	m, err := f.node.AddLearner(ctx, q.Get("name"), q["url"])
	return viewOf(m), err
}

func (f front) promote(ctx context.Context, r *http.Request) (any, error) {
	return f.onMember(r, func(id uint64) error { return f.node.Promote(ctx, id) })
}

func (f front) remove(ctx context.Context, r *http.Request) (any, error) {
	return f.onMember(r, func(id uint64) error { return f.node.Remove(ctx, id) })
}

func (f front) onMember(r *http.Request, change func(id uint64) error) (any, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 16, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is no member's id", errBad, r.PathValue("id"))
	}
	return map[string]any{"id": hex(id)}, change(id)
}

func hex(id uint64) string { return strconv.FormatUint(id, 16) }
