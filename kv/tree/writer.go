package tree

import (
	"context"

	"github.com/strakeproject/strake/kv"
)

// A Writer is the writing half of a [kv.Store]. It turns calls into encoded
// commands, has them applied, and turns the encoded results into answers.
type Writer struct {
	propose func(ctx context.Context, cmd []byte) (result []byte, err error)
}

// NewWriter makes a Writer for a function that has a command applied and
// returns its result. Errors of that function reach callers as they are.
func NewWriter(propose func(ctx context.Context, cmd []byte) (result []byte, err error)) *Writer {
	return &Writer{propose: propose}
}

// Do has a command applied. A command that is refused returns a [*kv.Error].
func (w *Writer) Do(ctx context.Context, c Command) (kv.Event, error) {
	if e := c.check(); e != nil {
		return kv.Event{}, e
	}
	if err := ctx.Err(); err != nil {
		return kv.Event{}, err
	}
	b, err := w.propose(ctx, c.Encode())
	if err != nil {
		return kv.Event{}, err
	}
	r, err := c.DecodeResult(b)
	if err != nil {
		return kv.Event{}, &kv.Error{Code: kv.CodeRaftInternal, Cause: err.Error(), Err: kv.ErrOutcomeUnknown}
	}
	if r.Err != nil {
		return kv.Event{}, r.Err
	}
	return r.Event, nil
}

// Set implements kv.Store.
func (w *Writer) Set(ctx context.Context, key, value string, opts kv.SetOptions) (kv.Event, error) {
	return w.Do(ctx, Command{
		Op: OpSet, Key: clean(key), Value: value, TTL: opts.TTL, Dir: opts.Dir, Refresh: opts.Refresh,
	})
}

// Create implements kv.Store.
func (w *Writer) Create(ctx context.Context, key, value string, opts kv.CreateOptions) (kv.Event, error) {
	return w.Do(ctx, Command{Op: OpCreate, Key: clean(key), Value: value, TTL: opts.TTL, Dir: opts.Dir})
}

// CreateInOrder implements kv.Store.
func (w *Writer) CreateInOrder(ctx context.Context, dir, value string, opts kv.CreateOptions) (kv.Event, error) {
	return w.Do(ctx, Command{Op: OpCreateInOrder, Key: clean(dir), Value: value, TTL: opts.TTL, Dir: opts.Dir})
}

// Update implements kv.Store.
func (w *Writer) Update(ctx context.Context, key, value string, opts kv.UpdateOptions) (kv.Event, error) {
	return w.Do(ctx, Command{Op: OpUpdate, Key: clean(key), Value: value, TTL: opts.TTL, Refresh: opts.Refresh})
}

// Delete implements kv.Store.
func (w *Writer) Delete(ctx context.Context, key string, opts kv.DeleteOptions) (kv.Event, error) {
	return w.Do(ctx, Command{Op: OpDelete, Key: clean(key), Dir: opts.Dir, Recursive: opts.Recursive})
}

// CompareAndSwap implements kv.Store.
func (w *Writer) CompareAndSwap(
	ctx context.Context, key, value string, cond kv.Condition, opts kv.UpdateOptions,
) (kv.Event, error) {
	return w.Do(ctx, Command{
		Op: OpCompareAndSwap, Key: clean(key), Value: value, TTL: opts.TTL, Refresh: opts.Refresh,
		PrevValue: cond.PrevValue, PrevIndex: cond.PrevIndex,
	})
}

// CompareAndDelete implements kv.Store.
func (w *Writer) CompareAndDelete(ctx context.Context, key string, cond kv.Condition) (kv.Event, error) {
	return w.Do(ctx, Command{
		Op: OpCompareAndDelete, Key: clean(key), PrevValue: cond.PrevValue, PrevIndex: cond.PrevIndex,
	})
}
