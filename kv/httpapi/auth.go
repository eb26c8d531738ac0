package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/auth"
)

const authPath = "/v2/auth"

// credentials returns what a request says about who sends it. A header that is
// no basic authentication is that of nobody.
func (a *API) credentials(r *http.Request) auth.Credentials {
	if r.Header.Get("Authorization") != "" {
		name, password, _ := r.BasicAuth()
		return auth.Credentials{Given: true, Name: name, Password: password}
	}
	if a.cfg.ClientCertAuth && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return auth.Credentials{CommonName: r.TLS.VerifiedChains[0][0].Subject.CommonName}
	}
	return auth.Credentials{}
}

// guarded reports whether credentials matter.
func (a *API) guarded() bool { return a.cfg.Auth != nil && a.cfg.Auth.Enabled() }

// checkKey returns nil if a request for a key is allowed, else an error of the
// key space. The key is as it stands in the path.
func (a *API) checkKey(ctx context.Context, r *keyRequest, key string) error {
	if !a.guarded() {
		return nil
	}
	err := a.cfg.Auth.CheckKey(ctx, r.who, auth.Access{Key: key, Write: !r.reads(), Recursive: r.params.recursive})
	switch {
	case errors.Is(err, auth.ErrDenied):
		return &kv.Error{Code: kv.CodeUnauthorized, Cause: "Insufficient credentials"}
	case errors.Is(err, auth.ErrBusy):
		return &kv.Error{Code: kv.CodeRaftInternal, Cause: "etcdserver: too many requests", Err: err}
	}
	return err
}

// admit lets a request pass that changes more than keys, or answers that it may
// not.
func (a *API) admit(w http.ResponseWriter, r *http.Request) bool {
	if !a.guarded() {
		return true
	}
	err := a.cfg.Auth.CheckAdmin(r.Context(), a.credentials(r))
	switch {
	case err == nil:
		return true
	case errors.Is(err, auth.ErrDenied):
		writeMessage(w, http.StatusUnauthorized, "Insufficient credentials")
	case errors.Is(err, auth.ErrBusy):
		writeMessage(w, http.StatusServiceUnavailable, "Too many requests")
	default:
		a.writeFailure(w, r, err)
	}
	return false
}

// serveAuth answers requests below /v2/auth.
//
//	enable             GET PUT DELETE
//	users, roles       GET
//	users/X, roles/X   GET PUT DELETE
func (a *API) serveAuth(w http.ResponseWriter, r *http.Request) {
	what, name, below := strings.Cut(strings.TrimPrefix(r.URL.Path, authPath+"/"), "/")
	var methods authHandlers
	switch {
	case what == "enable" && !below:
		methods = authHandlers{http.MethodGet: a.getEnabled, http.MethodPut: a.enable, http.MethodDelete: a.disable}
	case what != "users" && what != "roles":
		http.NotFound(w, r)
		return
	case strings.Contains(strings.TrimSuffix(name, "/"), "/"):
		writeMessage(w, http.StatusBadRequest, "Invalid path")
		return
	default:
		methods = a.handlersOf(what, strings.TrimSuffix(name, "/"))
	}
	handler, ok := methods[r.Method]
	if !ok {
		allow := "GET"
		if len(methods) > 1 {
			allow = "GET,PUT,DELETE"
		}
		methodNotAllowed(w, allow)
		return
	}
	// Whether auth is on is no secret.
	if !(what == "enable" && r.Method == http.MethodGet) && !a.admit(w, r) {
		return
	}
	h := w.Header()
	a.clusterHeader(h)
	h["Content-Type"] = jsonType
	ctx, cancel := context.WithTimeout(r.Context(), a.cfg.RequestTimeout)
	defer cancel()
	if err := handler(ctx, w, r); err != nil {
		a.writeAuthError(w, r, err)
	}
}

// An authHandler answers a request, or returns why it cannot be done.
type authHandler func(ctx context.Context, w http.ResponseWriter, r *http.Request) error

type authHandlers = map[string]authHandler

func (a *API) handlersOf(what, name string) authHandlers {
	switch {
	case what == "users" && name == "":
		return authHandlers{http.MethodGet: a.listUsers}
	case what == "roles" && name == "":
		return authHandlers{http.MethodGet: a.listRoles}
	case what == "users":
		return authHandlers{
			http.MethodGet: with(name, a.getUser), http.MethodPut: with(name, a.putUser),
			http.MethodDelete: func(ctx context.Context, _ http.ResponseWriter, _ *http.Request) error {
				return a.cfg.Auth.DeleteUser(ctx, name)
			},
		}
	default:
		return authHandlers{
			http.MethodGet: with(name, a.getRole), http.MethodPut: with(name, a.putRole),
			http.MethodDelete: func(ctx context.Context, _ http.ResponseWriter, _ *http.Request) error {
				return a.cfg.Auth.DeleteRole(ctx, name)
			},
		}
	}
}

// with gives a handler the name that it is about.
func with(name string, f func(context.Context, http.ResponseWriter, *http.Request, string) error) authHandler {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request) error { return f(ctx, w, r, name) }
}

func (a *API) getEnabled(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
	return writeDocument(w, http.StatusOK, struct {
		Enabled bool `json:"enabled"`
	}{a.cfg.Auth.Enabled()})
}

func (a *API) enable(ctx context.Context, _ http.ResponseWriter, _ *http.Request) error {
	return a.cfg.Auth.Enable(ctx)
}

func (a *API) disable(ctx context.Context, _ http.ResponseWriter, _ *http.Request) error {
	return a.cfg.Auth.Disable(ctx)
}

// fullUser is a user with all that its roles are.
type fullUser struct {
	Name  string      `json:"user"`
	Roles []auth.Role `json:"roles,omitempty"`
}

func (a *API) listUsers(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	users, err := a.cfg.Auth.Users(ctx)
	if err != nil {
		return err
	}
	roles, err := a.cfg.Auth.Roles(ctx)
	if err != nil {
		return err
	}
	known := make(map[string]auth.Role, len(roles))
	for _, r := range roles {
		known[r.Name] = r
	}
	var list struct {
		Users []fullUser `json:"users"`
	}
	for _, u := range users {
		if strings.HasPrefix(u.Name, "_") {
			continue // as in the original
		}
		full := fullUser{Name: u.Name}
		for _, name := range u.Roles {
			if r, ok := known[name]; ok {
				full.Roles = append(full.Roles, r)
			}
		}
		list.Users = append(list.Users, full)
	}
	return writeDocument(w, http.StatusOK, list)
}

func (a *API) getUser(ctx context.Context, w http.ResponseWriter, _ *http.Request, name string) error {
	u, err := a.cfg.Auth.User(ctx, name)
	if err != nil {
		return err
	}
	full := fullUser{Name: u.Name}
	for _, name := range u.Roles {
		r, err := a.cfg.Auth.Role(ctx, name)
		if err != nil {
			return err
		}
		full.Roles = append(full.Roles, r)
	}
	return writeDocument(w, http.StatusOK, full)
}

func (a *API) putUser(ctx context.Context, w http.ResponseWriter, r *http.Request, name string) error {
	var c auth.UserChange
	if err := decodeDocument(r, &c); err != nil {
		return err
	}
	switch {
	case c.Name != name:
		return badRequest("User JSON name does not match the name in the URL")
	case c.Contradicts():
		return badRequest("User JSON contains both roles and grant/revoke")
	}
	u, created, err := a.cfg.Auth.PutUser(ctx, c)
	if err != nil {
		return err
	}
	return writeDocument(w, statusOfPut(created), u)
}

func (a *API) listRoles(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	roles, err := a.cfg.Auth.Roles(ctx)
	if err != nil {
		return err
	}
	list := struct {
		Roles []auth.Role `json:"roles"`
	}{[]auth.Role{}}
	for _, r := range roles {
		if !strings.HasPrefix(r.Name, "_") { // as in the original
			list.Roles = append(list.Roles, r)
		}
	}
	return writeDocument(w, http.StatusOK, list)
}

func (a *API) getRole(ctx context.Context, w http.ResponseWriter, _ *http.Request, name string) error {
	r, err := a.cfg.Auth.Role(ctx, name)
	if err != nil {
		return err
	}
	return writeDocument(w, http.StatusOK, r)
}

func (a *API) putRole(ctx context.Context, w http.ResponseWriter, r *http.Request, name string) error {
	var c auth.RoleChange
	if err := decodeDocument(r, &c); err != nil {
		return err
	}
	switch {
	case c.Name != name:
		return badRequest("Role JSON name does not match the name in the URL")
	case c.Contradicts():
		return badRequest("Role JSON contains both permissions and grant/revoke")
	}
	role, err := a.cfg.Auth.PutRole(ctx, c)
	switch {
	case err != nil:
		return err
	case c.Updates():
		return writeDocument(w, http.StatusOK, role)
	}
	return writeDocument(w, http.StatusCreated, c) // an echo of all that was sent
}

func statusOfPut(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

// badRequest is an error whose text a client is to read.
type badRequest string

func (e badRequest) Error() string { return string(e) }

// decodeDocument reads one JSON value from a body and ignores what follows it.
func decodeDocument(r *http.Request, v any) error {
	if json.NewDecoder(io.LimitReader(r.Body, maxDocument)).Decode(v) != nil {
		return badRequest("Invalid JSON in request body.")
	}
	return nil
}

func writeDocument(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	writeMarshalled(w, status, b, nil)
	return nil
}

func (a *API) writeAuthError(w http.ResponseWriter, r *http.Request, err error) {
	if e, ok := errors.AsType[badRequest](err); ok {
		writeMessage(w, http.StatusBadRequest, string(e))
		return
	}
	e, ok := errors.AsType[*auth.Error](err)
	switch {
	case ok:
		writeMessage(w, statusOfKind(e.Kind), e.Error())
	case errors.Is(err, auth.ErrBusy):
		writeMessage(w, http.StatusServiceUnavailable, "Too many requests")
	default:
		a.writeFailure(w, r, err)
	}
}

func statusOfKind(k auth.Kind) int {
	switch k {
	case auth.Forbidden:
		return http.StatusForbidden
	case auth.NotFound:
		return http.StatusNotFound
	case auth.Conflict:
		return http.StatusConflict
	}
	return http.StatusBadRequest
}
