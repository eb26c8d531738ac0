package datasource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// EC2 is the metadata service of Amazon EC2 and of those that are like it, at
// http://169.254.169.254/ unless another base URL is given. It gets a session
// token first (version 2 of the service), and does without where there is none
// (version 1).
func EC2(c *Client, base string) Source {
	return &ec2{service: newService(c, base, linkLocal, nil)}
}

// linkLocal is where most platforms have their service.
const linkLocal = "http://169.254.169.254/"

// The version of the meta-data, and how long a session lasts and may take to
// begin. A machine in a container cannot begin one: the answer does not pass a
// router.
const (
	ec2Version      = "2009-04-04/"
	ec2TokenSeconds = 6 * 60 * 60
	ec2TokenTimeout = 2 * time.Second
	ec2MaxKeys      = 1000
)

type ec2 struct {
	service

	mu      sync.Mutex
	settled bool   // whether token is known; guarded by mu
	token   string // of the session, empty in version 1; guarded by mu
}

func (*ec2) Type() string { return "ec2-metadata-service" }

func (e *ec2) Available(ctx context.Context) error {
	_, err := e.client.once(ctx, e.request(ctx, ec2Version, maxMetadata))
	if unauthorized(err) {
		e.forget()
	}
	return err
}

func (e *ec2) UserData(ctx context.Context) ([]byte, error) {
	return e.get(ctx, ec2Version+"user-data", maxUserData)
}

func (e *ec2) Metadata(ctx context.Context) (*Metadata, error) {
	const root = ec2Version + "meta-data/"
	get, m := getter(e.get), &Metadata{}
	var err error
	if m.SSHKeys, err = ec2Keys(ctx, get, root+"public-keys"); err != nil {
		return nil, err
	}
	if m.Hostname, err = get.word(ctx, root+"hostname"); err != nil {
		return nil, err
	}
	if err = get.addr(ctx, root+"local-ipv4", &m.Addresses, setPrivate); err != nil {
		return nil, err
	}
	if err = get.addr(ctx, root+"public-ipv4", &m.Addresses, setPublic); err != nil {
		return nil, err
	}
	return m, nil
}

// ec2Keys gets the keys that a list of lines such as "0=name" tells of.
func ec2Keys(ctx context.Context, get getter, path string) ([]string, error) {
	list, err := get(ctx, path, maxMetadata)
	if err != nil {
		return nil, err
	}
	var keys []string
	for line := range strings.Lines(string(list)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		index, _, found := strings.Cut(line, "=")
		if _, err := strconv.ParseUint(index, 10, 32); err != nil || !found {
			return nil, fmt.Errorf("%s: malformed public key: %q", path, line)
		}
		if len(keys) == ec2MaxKeys {
			return nil, fmt.Errorf("%s: more than %d keys", path, ec2MaxKeys)
		}
		key, err := get(ctx, path+"/"+index+"/openssh-key", maxMetadata)
		if err != nil {
			return nil, err
		}
		keys = addKey(keys, string(key))
	}
	return keys, nil
}

// get gets a document, in a new session if the old one has ended. A service that
// gives no session and no document without one is asked a few times.
func (e *ec2) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	const sessions = 3
	wait := backoff{first: firstRetry, longest: slowestRetry}
	for session := 1; ; session++ {
		data, err := present(e.client.get(ctx, e.request(ctx, path, limit)))
		if !unauthorized(err) || session == sessions {
			return data, err
		}
		e.forget()
		if err := wait.sleep(ctx); err != nil {
			return nil, err
		}
	}
}

func unauthorized(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.code == http.StatusUnauthorized
}

// request is one within the session.
func (e *ec2) request(ctx context.Context, path string, limit int64) request {
	r := e.service.request(path, limit)
	if token := e.session(ctx); token != "" {
		r.header = http.Header{"X-Aws-Ec2-Metadata-Token": {token}}
	}
	return r
}

// session returns the token, or none if the service has version 1, or cannot be
// asked now.
func (e *ec2) session(ctx context.Context) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.settled {
		return e.token
	}
	r := e.service.request("latest/api/token", 4<<10)
	r.method, r.patience = http.MethodPut, ec2TokenTimeout
	r.header = http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {strconv.Itoa(ec2TokenSeconds)}}
	token, err := e.client.once(ctx, r)
	if err != nil {
		e.client.logger.Debug("No session with the metadata service", "error", err)
		e.settled = notFound(err)
		return ""
	}
	e.token, e.settled = strings.TrimSpace(string(token)), true
	return e.token
}

func (e *ec2) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.token, e.settled = "", false
}
