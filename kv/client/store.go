package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/strakeproject/strake/kv"
)

var _ kv.Store = (*Client)(nil)

// Get implements kv.Store.
func (c *Client) Get(ctx context.Context, key string, opts kv.GetOptions) (kv.Event, error) {
	q := url.Values{
		"recursive": {strconv.FormatBool(opts.Recursive)},
		"sorted":    {strconv.FormatBool(opts.Sorted)},
		"quorum":    {strconv.FormatBool(opts.Quorum || c.cfg.Quorum)},
	}
	return c.do(ctx, "get", call{method: http.MethodGet, query: q}, key)
}

// Set implements kv.Store.
func (c *Client) Set(ctx context.Context, key, value string, opts kv.SetOptions) (kv.Event, error) {
	q := url.Values{}
	setTrue(q, "dir", opts.Dir)
	setTrue(q, "refresh", opts.Refresh)
	return c.do(ctx, "set", call{method: http.MethodPut, query: q, form: content(value, opts.Dir, opts.TTL)}, key)
}

// Create implements kv.Store.
func (c *Client) Create(ctx context.Context, key, value string, opts kv.CreateOptions) (kv.Event, error) {
	q := url.Values{"prevExist": {"false"}}
	setTrue(q, "dir", opts.Dir)
	return c.do(ctx, "create", call{method: http.MethodPut, query: q, form: content(value, opts.Dir, opts.TTL)}, key)
}

// CreateInOrder implements kv.Store.
func (c *Client) CreateInOrder(ctx context.Context, dir, value string, opts kv.CreateOptions) (kv.Event, error) {
	q := url.Values{}
	setTrue(q, "dir", opts.Dir)
	return c.do(ctx, "create in order", call{method: http.MethodPost, query: q, form: content(value, opts.Dir, opts.TTL)}, dir)
}

// Update implements kv.Store.
func (c *Client) Update(ctx context.Context, key, value string, opts kv.UpdateOptions) (kv.Event, error) {
	q := url.Values{"prevExist": {"true"}}
	setTrue(q, "refresh", opts.Refresh)
	return c.do(ctx, "update", call{method: http.MethodPut, query: q, form: content(value, false, opts.TTL)}, key)
}

// Delete implements kv.Store.
func (c *Client) Delete(ctx context.Context, key string, opts kv.DeleteOptions) (kv.Event, error) {
	q := url.Values{}
	setTrue(q, "dir", opts.Dir)
	setTrue(q, "recursive", opts.Recursive)
	return c.do(ctx, "delete", call{method: http.MethodDelete, query: q}, key)
}

// CompareAndSwap implements kv.Store.
func (c *Client) CompareAndSwap(ctx context.Context, key, value string, cond kv.Condition, opts kv.UpdateOptions) (kv.Event, error) {
	if cond == (kv.Condition{}) {
		return kv.Event{}, fmt.Errorf("compare and swap %s: %w", key, kv.ErrPrevValueRequired)
	}
	q := url.Values{}
	setTrue(q, "refresh", opts.Refresh)
	form := content(value, false, opts.TTL)
	setCondition(form, cond) // in the body, where a long value has room
	return c.do(ctx, "compare and swap", call{method: http.MethodPut, query: q, form: form}, key)
}

// CompareAndDelete implements kv.Store.
func (c *Client) CompareAndDelete(ctx context.Context, key string, cond kv.Condition) (kv.Event, error) {
	if cond == (kv.Condition{}) {
		return kv.Event{}, fmt.Errorf("compare and delete %s: %w", key, kv.ErrPrevValueRequired)
	}
	q := url.Values{}
	setCondition(q, cond)
	return c.do(ctx, "compare and delete", call{method: http.MethodDelete, query: q}, key)
}

// do carries out one operation on a key.
func (c *Client) do(ctx context.Context, op string, cl call, key string) (kv.Event, error) {
	cl.path = keyPath(key)
	a, err := c.send(ctx, cl)
	if err != nil {
		return kv.Event{}, fmt.Errorf("%s %s: %w", op, key, err)
	}
	if a.status == http.StatusOK || a.status == http.StatusCreated {
		ev, err := decodeEvent(a.body, storeIndex(a.header))
		if err != nil && cl.write() {
			err = fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, err)
		}
		if err != nil {
			return kv.Event{}, fmt.Errorf("%s %s: %w", op, key, err)
		}
		return ev, nil
	}
	err = decodeError(a)
	if cl.write() && a.status >= 500 {
		if e, ok := errors.AsType[*kv.Error](err); ok {
			e.Err = kv.ErrOutcomeUnknown
		} else {
			err = fmt.Errorf("%w: %w", kv.ErrOutcomeUnknown, err)
		}
	}
	return kv.Event{}, fmt.Errorf("%s %s: %w", op, key, err)
}

// keyPath is the path of a key. It keeps a slash at the end, which means nothing
// to a store and much to a server that asks who may read what.
func keyPath(key string) string {
	path := "/v2/keys" + kv.Clean(key)
	if strings.HasSuffix(key, "/") && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	return path
}

// content is the form of a write. A directory has no value.
func content(value string, dir bool, ttl time.Duration) url.Values {
	form := url.Values{}
	if !dir {
		form.Set("value", value)
	}
	if ttl != 0 {
		form.Set("ttl", seconds(ttl))
	}
	return form
}

// seconds rounds a TTL up to whole seconds. A negative one, whose time has
// passed, becomes none: the node dies at once.
func seconds(ttl time.Duration) string {
	s := ttl / time.Second
	if ttl%time.Second > 0 {
		s++
	}
	return strconv.FormatInt(int64(max(s, 0)), 10)
}

func setCondition(v url.Values, cond kv.Condition) {
	if cond.PrevValue != "" {
		v.Set("prevValue", cond.PrevValue)
	}
	if cond.PrevIndex != 0 {
		v.Set("prevIndex", strconv.FormatUint(cond.PrevIndex, 10))
	}
}

func setTrue(v url.Values, name string, on bool) {
	if on {
		v.Set(name, "true")
	}
}
