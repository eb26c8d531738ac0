package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
	"github.com/strakeproject/strake/unit"
)

// DefaultEndpoint is where fleetd listens.
const DefaultEndpoint = "unix:///var/run/fleet.sock"

// ClientConfig says how to reach a server.
type ClientConfig struct {
	// Endpoint is unix:///path, file:///path, http://host:port or
	// https://host:port. Default DefaultEndpoint.
	Endpoint string
	// TLS is for https. Default: the system's certificate authorities, no
	// client certificate.
	TLS *tls.Config
	// Dial, if set, makes the connections: network is "unix", with a path for
	// address, or "tcp". It serves to go through other machines.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds each request but journals. Default: no bound.
	Timeout time.Duration
}

// Client talks to a server of fleet's API. It is safe for concurrent use. A
// failure that the server reports is an [*Error] in the error's tree; after any
// other failure of a write it is unknown whether it took place.
type Client struct {
	base    string
	http    *http.Client
	timeout time.Duration
}

var _ JournalSource = (*Client)(nil)

// NewClient returns a client. It does not connect yet. Close it.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Endpoint == "" {
		cfg.Endpoint = DefaultEndpoint
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS, ForceAttemptHTTP2: true}
	dial := new(net.Dialer).DialContext
	if cfg.Dial != nil {
		dial = cfg.Dial
		transport.Proxy, transport.DialContext = nil, dial
	}
	c := &Client{http: &http.Client{Transport: transport}, timeout: cfg.Timeout}
	switch {
	case u.Scheme == "":
		return nil, errors.New("URL scheme undefined")
	case (u.Scheme == "unix" || u.Scheme == "file") && u.Host != "":
		return nil, fmt.Errorf("unable to connect to host %q with scheme %q", u.Host, u.Scheme)
	case u.Scheme == "unix" || u.Scheme == "file":
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, "unix", u.Path)
		}
		c.base = "http://domain-sock/fleet/v1/"
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		c.base = u.Scheme + "://" + u.Host + "/fleet/v1/"
	default:
		return nil, fmt.Errorf("unsupported endpoint %q", cfg.Endpoint)
	}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Machines returns the machines that are alive, ordered by ID.
func (c *Client) Machines(ctx context.Context) ([]Machine, error) {
	return all(ctx, c, "machines", url.Values{"detail": {"true"}}, func(p machinePage) ([]Machine, string) { return p.Machines, p.NextPageToken })
}

// Units returns all units, ordered by name.
func (c *Client) Units(ctx context.Context) ([]Unit, error) {
	return all(ctx, c, "units", nil, func(p unitPage) ([]Unit, string) { return p.Units, p.NextPageToken })
}

// States returns the states of a unit, or of all units if name is empty,
// ordered by unit and machine.
func (c *Client) States(ctx context.Context, name string) ([]UnitState, error) {
	query := url.Values{"detail": {"true"}}
	if name != "" {
		query.Set("unitName", name)
	}
	return all(ctx, c, "state", query, func(p statePage) ([]UnitState, string) { return p.States, p.NextPageToken })
}

// all gets a list page by page.
func all[P, T any](ctx context.Context, c *Client, path string, query url.Values, open func(P) ([]T, string)) ([]T, error) {
	var list []T
	if query == nil {
		query = make(url.Values)
	}
	for {
		var page P
		if err := c.do(ctx, http.MethodGet, path, query, nil, &page); err != nil {
			return nil, err
		}
		items, next := open(page)
		list = append(list, items...)
		if next == "" {
			return list, nil
		}
		query.Set("nextPageToken", next)
	}
}

// Unit returns one unit; for an unknown one errors.Is(err,
// registry.ErrUnitNotFound) holds.
func (c *Client) Unit(ctx context.Context, name string) (Unit, error) {
	return get[Unit](ctx, c, unitPath(name), nil)
}

// PutUnit creates a unit, or replaces one that has other content. Without a
// DesiredState it is inactive then.
func (c *Client) PutUnit(ctx context.Context, u Unit) error {
	return c.do(ctx, http.MethodPut, unitPath(u.Name), nil, u, nil)
}

// SetTarget says what state a unit should be in.
func (c *Client) SetTarget(ctx context.Context, name string, target registry.State) error {
	return c.PutUnit(ctx, Unit{Name: name, DesiredState: target})
}

// DestroyUnit removes a unit; for an unknown one errors.Is(err,
// registry.ErrUnitNotFound) holds.
func (c *Client) DestroyUnit(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, unitPath(name), nil, nil, nil)
}

// Explain says why a unit is where it is, or nowhere; with suppositions, where it
// would be once the engine had dealt with them. A supposition is one of
//
//	MACHINE open, cordoned, draining or lost
//	MACHINE KEY=VALUE
//	MACHINE like MACHINE, for one more machine
//	UNIT active or inactive
func (c *Client) Explain(ctx context.Context, name string, suppositions ...string) (Explanation, error) {
	return get[Explanation](ctx, c, unitPath(name)+"/explain", url.Values{"if": suppositions})
}

// MachineStatus says what a machine is open for and what is on it. A machine
// that is not alive is an [*Error] with code 404.
func (c *Client) MachineStatus(ctx context.Context, id string) (MachineStatus, error) {
	return get[MachineStatus](ctx, c, machinePath(id), nil)
}

// SetMachineState opens, cordons or drains a machine.
func (c *Client) SetMachineState(ctx context.Context, id string, state schedule.MachineState) error {
	return c.do(ctx, http.MethodPut, machinePath(id), nil, MachineStatus{State: registry.FormatMachineState(state)}, nil)
}

func machinePath(id string) string { return "machines/" + url.PathEscape(id) + "/state" }

// Rebalance orders the engine to move units that could stay, and returns what it
// is about to move as things are. While an earlier order is waiting it fails
// with an [*Error] of code 409.
func (c *Client) Rebalance(ctx context.Context, order schedule.Rebalance) ([]Step, error) {
	return c.rebalance(ctx, order, nil)
}

// PlanRebalance returns what Rebalance would move.
func (c *Client) PlanRebalance(ctx context.Context, order schedule.Rebalance) ([]Step, error) {
	return c.rebalance(ctx, order, url.Values{"dryRun": {"true"}})
}

func (c *Client) rebalance(ctx context.Context, order schedule.Rebalance, query url.Values) ([]Step, error) {
	body := rebalanceOrder{Goal: registry.FormatGoal(order.Goal), Budget: order.Budget, MinGain: order.MinGain}
	var answer rebalanceState
	err := c.do(ctx, http.MethodPost, "rebalance", query, body, &answer)
	return answer.Steps, err
}

// Rebalancing reports whether the engine has yet to deal with an order to
// rebalance.
func (c *Client) Rebalancing(ctx context.Context) (bool, error) {
	answer, err := get[rebalanceState](ctx, c, "rebalance", nil)
	return answer.Waiting, err
}

// Journal yields what a unit has written on a machine; an empty machineID is
// the one that the unit is scheduled to. It makes the client a JournalSource.
func (c *Client) Journal(ctx context.Context, machineID, name string, opts unit.JournalOptions) iter.Seq2[unit.JournalEntry, error] {
	query := url.Values{"lines": {strconv.Itoa(opts.Lines)}, "follow": {strconv.FormatBool(opts.Follow)}}
	if machineID != "" {
		query.Set("machineID", machineID)
	}
	return func(yield func(unit.JournalEntry, error) bool) {
		resp, err := c.request(ctx, http.MethodGet, unitPath(name)+"/journal", query, nil)
		if err != nil {
			yield(unit.JournalEntry{}, err)
			return
		}
		defer resp.Body.Close()
		dec := json.NewDecoder(resp.Body)
		for {
			var e journalLine
			err := dec.Decode(&e)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && e.Error != "" {
				err = fmt.Errorf("journal of %s: %s", name, e.Error)
			}
			entry := unit.JournalEntry{Time: e.Time, Unit: e.Unit, Identifier: e.Identifier, PID: e.PID, Message: e.Message}
			if !yield(entry, err) || err != nil {
				return
			}
		}
	}
}

func unitPath(name string) string { return "units/" + url.PathEscape(name) }

// get gets one thing.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var out T
	err := c.do(ctx, http.MethodGet, path, query, nil, &out)
	return out, err
}

// do makes a request and decodes the answer into out, if that is not nil.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	resp, err := c.request(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("answer to %s %s: %w", method, path, err)
	}
	return nil
}

// request makes a request; an answer that is a failure is an [*Error].
func (c *Client) request(ctx context.Context, method, path string, query url.Values, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	failure := errorBody{Error{Code: resp.StatusCode}}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if json.Unmarshal(data, &failure) != nil || failure.Error.Code == 0 {
		failure.Error = Error{Code: resp.StatusCode}
	}
	return nil, &failure.Error
}
