package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/client"
)

// Exit statuses.
const (
	exitOK             = 0
	exitUsage          = 1 // also failures of member commands
	exitConnect        = 2 // the members could not be asked for
	exitUnknownCommand = 3
	exitServer         = 4 // an error from the server, or no server
	exitUnhealthy      = 5
)

// app is what commands work with.
type app struct {
	globals
	stdin          io.Reader
	stdout, stderr io.Writer
}

// failure is an error with the exit status that it means. A plain failure is
// printed without "Error:" before it; one without an error is not printed.
type failure struct {
	code  int
	plain bool
	err   error
}

func (f *failure) Error() string { return fmt.Sprint(f.err) }
func (f *failure) Unwrap() error { return f.err }

// misuse is a fault in the arguments.
func misuse(text string) error { return &failure{code: exitUsage, err: errors.New(text)} }

// report prints an error and returns the exit status. What is no failure came
// from the server.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{code: exitServer, err: err}
	}
	switch {
	case f.err == nil:
	case f.plain:
		fmt.Fprintln(a.stderr, f.err)
	default:
		fmt.Fprintln(a.stderr, "Error: ", describe(f.err))
	}
	return f.code
}

// describe words an error as the original does.
func describe(err error) string {
	if e, ok := errors.AsType[*kv.Error](err); ok {
		return fmt.Sprintf("%d: %s (%s) [%d]", e.Code, e.Code.Message(), e.Cause, e.Index)
	}
	if e, ok := errors.AsType[*client.UnavailableError](err); ok {
		return describeUnavailable(e)
	}
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, kv.ErrOutcomeUnknown) {
		return context.DeadlineExceeded.Error()
	}
	return err.Error()
}

// describeUnavailable lists what went wrong at each endpoint, twice.
func describeUnavailable(e *client.UnavailableError) string {
	lines := make([]string, len(e.Errs))
	for i, err := range e.Errs {
		lines[i] = fmt.Sprintf("error #%d: %v\n", i, err)
	}
	return "client: etcd cluster is unavailable or misconfigured; " +
		strings.Join(lines, "; ") + "\n" + strings.Join(lines, "")
}

// connect makes a client, and lets it find the members unless told not to.
func (a *app) connect(ctx context.Context) (*client.Client, error) {
	c, err := a.newClient()
	if err != nil {
		return nil, err
	}
	if !a.NoSync {
		a.debugf("start to sync cluster using endpoints(%s)", strings.Join(c.Endpoints(), ","))
		err := c.Sync(ctx)
		if unreachable(err) {
			return nil, &failure{code: exitConnect, err: err}
		}
		// A server that does not tell its members may still serve keys.
		a.debugf("got endpoints(%s) after sync", strings.Join(c.Endpoints(), ","))
	}
	a.debugf("Cluster-Endpoints: %s", strings.Join(c.Endpoints(), ", "))
	return c, nil
}

// unreachable reports whether no server answered.
func unreachable(err error) bool {
	_, ok := errors.AsType[*client.UnavailableError](err)
	return ok || errors.Is(err, context.DeadlineExceeded)
}

// newClient makes a client of the flags.
func (a *app) newClient() (*client.Client, error) {
	cfg := client.Config{Timeout: a.Timeout}
	if list := cmp.Or(a.Endpoints, a.Endpoint, a.Peers); list != "" {
		cfg.Endpoints = strings.Split(list, ",")
	}
	var err error
	if cfg.TLS, err = a.tlsConfig(); err != nil {
		return nil, &failure{code: exitUsage, plain: true, err: err}
	}
	if a.Username != "" {
		if cfg.Username, cfg.Password, err = a.credentials(); err != nil {
			return nil, &failure{code: exitUsage, plain: true, err: err}
		}
	}
	if a.Debug {
		cfg.Trace = a.trace
	}
	c, err := client.New(cfg)
	if err != nil {
		return nil, &failure{code: exitUsage, plain: true, err: err}
	}
	return c, nil
}

// tlsConfig reads the files named by the flags.
func (a *app) tlsConfig() (*tls.Config, error) {
	var cfg tls.Config
	if a.CAFile != "" {
		pem, err := os.ReadFile(a.CAFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no PEM certificate in it", a.CAFile)
		}
	}
	if a.CertFile != "" || a.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return &cfg, nil
}

// credentials splits --username, and asks for a password that is not there.
func (a *app) credentials() (user, password string, err error) {
	user, password, given := strings.Cut(a.Username, ":")
	if given {
		return user, password, nil
	}
	fmt.Fprint(a.stdout, "Password: ")
	restore := silence(a.stdin)
	password, err = bufio.NewReader(a.stdin).ReadString('\n')
	restore()
	if err != nil && err != io.EOF {
		return "", "", fmt.Errorf("read password: %w", err)
	}
	fmt.Fprintln(a.stdout)
	return user, strings.TrimRight(password, "\r\n"), nil
}

func (a *app) debugf(format string, args ...any) {
	if a.Debug {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// trace prints a request as a command that would repeat it.
func (a *app) trace(r *http.Request, form string) {
	if form != "" {
		form = fmt.Sprintf(" -d %q", form)
	}
	a.debugf("cURL Command: curl -X %s %s%s", r.Method, r.URL, form)
}

// limited bounds a command that is not to go on for ever.
func (a *app) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), a.TotalTimeout)
}
