package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const membersPath = "/v2/members"

// memberJSON is a Member on the wire.
type memberJSON struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

func toJSON(m Member) memberJSON {
	sorted := func(urls []string) []string {
		s := append([]string{}, urls...) // never null
		slices.Sort(s)
		return s
	}
	return memberJSON{
		ID:         formatID(m.ID),
		Name:       m.Name,
		PeerURLs:   sorted(m.PeerURLs),
		ClientURLs: sorted(m.ClientURLs),
	}
}

func formatID(id uint64) string { return strconv.FormatUint(id, 16) }

// serveMembers answers requests for /v2/members and below.
func (a *API) serveMembers(w http.ResponseWriter, r *http.Request) {
	change := a.changeOf(r.Method)
	if r.Method != http.MethodGet && change == nil {
		allow := "GET,POST,DELETE,PUT"
		if a.cfg.Changer == nil {
			allow = "GET"
		}
		methodNotAllowed(w, allow)
		return
	}
	if change != nil && !a.admit(w, r) {
		return
	}
	a.clusterHeader(w.Header())
	below := strings.TrimPrefix(r.URL.Path, membersPath)
	if change == nil {
		a.listMembers(w, below)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.cfg.RequestTimeout)
	defer cancel()
	change(w, r.WithContext(ctx), strings.TrimPrefix(below, "/"))
}

// changeOf returns what a method does to the members; nil for nothing. The
// handler is given the id as it stands in the path.
func (a *API) changeOf(method string) func(w http.ResponseWriter, r *http.Request, id string) {
	if a.cfg.Changer == nil {
		return nil
	}
	switch method {
	case http.MethodPost:
		return a.addMember
	case http.MethodPut:
		return a.updateMember
	case http.MethodDelete:
		return a.removeMember
	}
	return nil
}

func (a *API) listMembers(w http.ResponseWriter, below string) {
	members := slices.SortedFunc(slices.Values(a.cfg.Cluster.Members()),
		func(x, y Member) int { return cmp.Compare(x.ID, y.ID) })
	switch below {
	case "", "/":
		list := make([]memberJSON, len(members))
		for i, m := range members {
			list[i] = toJSON(m)
		}
		b, err := json.Marshal(map[string][]memberJSON{"members": list})
		writeMarshalled(w, http.StatusOK, b, err)
	case "/leader":
		id := a.cfg.Cluster.Leader()
		i := slices.IndexFunc(members, func(m Member) bool { return m.ID == id })
		if id == 0 || i < 0 {
			writeMessage(w, http.StatusServiceUnavailable, "During election")
			return
		}
		b, err := json.Marshal(toJSON(members[i]))
		writeMarshalled(w, http.StatusOK, b, err)
	default:
		writeMessage(w, http.StatusNotFound, "Not found")
	}
}

func (a *API) addMember(w http.ResponseWriter, r *http.Request, _ string) {
	urls, ok := decodePeerURLs(w, r)
	if !ok {
		return
	}
	m, err := a.cfg.Changer.AddMember(r.Context(), urls)
	if err != nil {
		a.writeChangeError(w, r, "", err)
		return
	}
	b, err := json.Marshal(toJSON(m))
	writeMarshalled(w, http.StatusCreated, b, err)
}

func (a *API) updateMember(w http.ResponseWriter, r *http.Request, path string) {
	id, ok := parseID(w, path)
	if !ok {
		return
	}
	urls, ok := decodePeerURLs(w, r)
	if !ok {
		return
	}
	if err := a.cfg.Changer.UpdateMember(r.Context(), id, urls); err != nil {
		a.writeChangeError(w, r, formatID(id), err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) removeMember(w http.ResponseWriter, r *http.Request, path string) {
	id, ok := parseID(w, path)
	if !ok {
		return
	}
	if err := a.cfg.Changer.RemoveMember(r.Context(), id); err != nil {
		a.writeChangeError(w, r, formatID(id), err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) writeChangeError(w http.ResponseWriter, r *http.Request, id string, err error) {
	switch {
	case errors.Is(err, ErrMemberExists):
		writeMessage(w, http.StatusConflict, ErrMemberExists.Error())
	case errors.Is(err, ErrMemberNotFound):
		writeMessage(w, http.StatusNotFound, "No such member: "+id)
	case errors.Is(err, ErrMemberRemoved):
		writeMessage(w, http.StatusGone, "Member permanently removed: "+id)
	default:
		a.writeFailure(w, r, err)
	}
}

// writeFailure answers with what is no fault of the client, of which the log
// tells more.
func (a *API) writeFailure(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != context.Canceled { // the client has not gone
		a.cfg.Logger.Warn("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	writeMessage(w, http.StatusInternalServerError, "Internal Server Error")
}

// parseID reads the id of a member, or answers that there is no such member.
func parseID(w http.ResponseWriter, s string) (id uint64, ok bool) {
	if s == "" {
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return 0, false
	}
	id, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		writeMessage(w, http.StatusNotFound, "No such member: "+s)
		return 0, false
	}
	return id, true
}

// maxDocument bounds a JSON document that a client sends.
const maxDocument = 1 << 20

// decodePeerURLs reads the URLs that a member is to have, or answers what is
// wrong with them.
func decodePeerURLs(w http.ResponseWriter, r *http.Request) (urls []string, ok bool) {
	kind, _, parameters := strings.Cut(r.Header.Get("Content-Type"), ";")
	if parameters {
		kind = strings.TrimSpace(strings.ToLower(kind)) // only then, in the original too
	}
	if kind != "application/json" {
		writeMessage(w, http.StatusUnsupportedMediaType, "Bad Content-Type "+kind+", accept application/json")
		return nil, false
	}
	urls, err := readPeerURLs(r)
	if err != nil {
		writeMessage(w, http.StatusBadRequest, err.Error())
		return nil, false
	}
	return urls, true
}

func readPeerURLs(r *http.Request) ([]string, error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("request body is larger than %d bytes", maxDocument)
	}
	var doc struct {
		PeerURLs []string `json:"peerURLs"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	if len(doc.PeerURLs) == 0 {
		return nil, errors.New("no valid URLs given")
	}
	urls := make([]string, len(doc.PeerURLs))
	for i, s := range doc.PeerURLs {
		if urls[i], err = checkPeerURL(strings.TrimSpace(s)); err != nil {
			return nil, err
		}
	}
	slices.Sort(urls)
	return urls, nil
}

// checkPeerURL returns the usual spelling of a peer URL, which is a scheme, a
// host and a port.
func checkPeerURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "http", "https", "unix", "unixs":
	default:
		return "", fmt.Errorf("URL scheme must be http, https, unix, or unixs: %s", s)
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return "", fmt.Errorf(`URL address does not have the form "host:port": %s`, s)
	}
	if u.Path != "" {
		return "", fmt.Errorf("URL must not contain a path: %s", s)
	}
	return u.String(), nil
}
