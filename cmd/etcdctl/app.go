package main

import (
	"bufio"
	"cmp"
	"context"
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
	exitUsage          = 1 // also failures of what concerns members, users and files
	exitConnect        = 2 // the members could not be asked for
	exitUnknownCommand = 3
	exitServer         = 4 // an error from the server, or no server
	exitUnhealthy      = 5
)

// app is what commands work with.
type app struct {
	globals
	stdin          *bufio.Reader
	terminal       *os.File // what stdin reads from
	stdout, stderr io.Writer

	loggedIn       bool // the next two are known
	user, password string
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
	var lines []string
	for i, err := range e.Errs {
		lines = append(lines, fmt.Sprintf("error #%d: %v\n", i, err))
	}
	return unavailable(e) + "\n" + strings.Join(lines, "")
}

// unavailable lists what went wrong at each endpoint, with the original's line
// breaks.
func unavailable(e *client.UnavailableError) string {
	var b strings.Builder
	b.WriteString("client: etcd cluster is unavailable or misconfigured")
	for i, err := range e.Errs {
		fmt.Fprintf(&b, "; error #%d: %v\n", i, err)
	}
	return b.String()
}

// connect makes a client, and lets it find the members unless told not to. The
// context bounds that and all else that is not to go on for ever.
func (a *app) connect() (*client.Client, context.Context, context.CancelFunc, error) {
	c, err := a.newClient()
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.TotalTimeout)
	if !a.NoSync {
		a.debugf("start to sync cluster using endpoints(%s)", strings.Join(c.Endpoints(), ","))
		err := c.Sync(ctx)
		if unreachable(err) {
			cancel()
			return nil, nil, nil, &failure{code: exitConnect, err: err}
		}
		// A server that does not tell its members may still serve keys.
		a.debugf("got endpoints(%s) after sync", strings.Join(c.Endpoints(), ","))
	}
	a.debugf("Cluster-Endpoints: %s", strings.Join(c.Endpoints(), ", "))
	return c, ctx, cancel, nil
}

// unreachable reports whether no server answered.
func unreachable(err error) bool {
	_, ok := errors.AsType[*client.UnavailableError](err)
	return ok || errors.Is(err, context.DeadlineExceeded)
}

// newClient makes a client of the flags.
func (a *app) newClient() (*client.Client, error) {
	cfg, err := a.clientConfig()
	if err != nil {
		return nil, plainFailure(err.Error())
	}
	c, err := client.New(cfg)
	if err != nil {
		return nil, plainFailure(err.Error())
	}
	return c, nil
}

func (a *app) clientConfig() (cfg client.Config, err error) {
	cfg.Timeout = a.Timeout
	if cfg.Endpoints, err = a.endpoints(); err != nil {
		return cfg, err
	}
	cfg.TLS, err = client.TLSFiles{CertFile: a.CertFile, KeyFile: a.KeyFile, CAFile: a.CAFile}.Config()
	if err != nil {
		return cfg, err
	}
	if err := a.login(); err != nil {
		return cfg, err
	}
	cfg.Username, cfg.Password = a.user, a.password
	if a.Debug {
		cfg.Trace = a.trace
	}
	return cfg, nil
}

// endpoints are those found in DNS, if there is to be looked, or those given.
func (a *app) endpoints() ([]string, error) {
	if a.DiscoverySRV != "" {
		return a.discover(client.SRV{Domain: a.DiscoverySRV, Service: a.DiscoverySRVName})
	}
	list := cmp.Or(a.Endpoints, a.Endpoint, a.Peers)
	if list == "" {
		return client.DefaultEndpoints(), nil
	}
	var urls []string
	for u := range strings.SplitSeq(list, ",") {
		if !strings.Contains(u, "://") {
			u = "http://" + u
		}
		if !a.InsecureTransport && !strings.HasPrefix(u, "https://") {
			return nil, fmt.Errorf("endpoint %s is not https, as --insecure-transport=false wants it", u)
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// discover finds endpoints in DNS. Whoever can forge an answer of DNS could have
// passwords and keys sent to him in clear, so that only those with https are
// taken unless the user says otherwise.
func (a *app) discover(records client.SRV) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), a.TotalTimeout)
	defer cancel()
	found, err := records.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	var urls []string
	for _, u := range found {
		if a.InsecureDiscovery || strings.HasPrefix(u, "https://") {
			urls = append(urls, u)
		} else {
			fmt.Fprintf(a.stderr, "ignoring discovered insecure endpoint %q\n", u)
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("no usable endpoint in the SRV records of %s", records.Domain)
	}
	return urls, nil
}

// login splits --username, and asks for a password that is not there. The second
// time it does nothing.
func (a *app) login() (err error) {
	if a.loggedIn || a.Username == "" {
		return nil
	}
	var given bool
	if a.user, a.password, given = strings.Cut(a.Username, ":"); !given {
		a.password, err = a.ask("Password: ")
	}
	a.loggedIn = err == nil
	return err
}

// ask reads a line that does not show on a terminal.
func (a *app) ask(prompt string) (string, error) {
	fmt.Fprint(a.stdout, prompt)
	restore := silence(a.terminal)
	line, err := a.stdin.ReadString('\n')
	restore()
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read password: %w", err)
	}
	fmt.Fprintln(a.stdout)
	return strings.TrimRight(line, "\r\n"), nil
}

func (a *app) debugf(format string, args ...any) {
	if a.Debug {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// trace prints a request as a command that would repeat it.
func (a *app) trace(r *http.Request, body string) {
	if r.Body != nil {
		body = fmt.Sprintf(" -d %q", body)
	}
	a.debugf("cURL Command: curl -X %s %s%s", r.Method, r.URL, body)
}
