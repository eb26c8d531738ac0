package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/schedule"
)

// rebalanceTTL is how long an order waits for an engine. One that is carried out
// when nobody thinks of it any more would surprise.
const rebalanceTTL = time.Minute

// RebalanceOrder asks the engine to move units that could stay, for an even or a
// tight use of machines. The engine removes it once it has tried.
type RebalanceOrder struct {
	schedule.Rebalance
	index uint64 // of the key
}

// rebalanceBody is the value of the order's key.
type rebalanceBody struct {
	Goal    string
	Budget  int
	MinGain int `json:",omitempty"`
}

// The words for goals.
const (
	goalLevel = "level"
	goalEmpty = "empty"
)

// FormatGoal returns the word for a goal: level or empty.
func FormatGoal(g schedule.Goal) string {
	if g == schedule.Empty {
		return goalEmpty
	}
	return goalLevel
}

// ParseGoal returns the goal that word names, or an [*InvalidError].
func ParseGoal(word string) (schedule.Goal, error) {
	for _, g := range []schedule.Goal{schedule.Level, schedule.Empty} {
		if FormatGoal(g) == word {
			return g, nil
		}
	}
	return schedule.Level, invalidf("invalid goal %q: expect %s or %s", word, goalLevel, goalEmpty)
}

// OrderRebalance asks the engine to rebalance. The order stands for a minute. It
// fails with ErrRebalancing while there is another, and with an [*InvalidError]
// for a budget of nothing.
func (r *Registry) OrderRebalance(ctx context.Context, order schedule.Rebalance) error {
	if order.Budget <= 0 || order.MinGain < 0 {
		return invalidf("invalid budget %d with least gain %d: expect a number of moves", order.Budget, order.MinGain)
	}
	value := encode(rebalanceBody{Goal: FormatGoal(order.Goal), Budget: order.Budget, MinGain: order.MinGain})
	_, err := r.create(ctx, r.keys.rebalance(), value, rebalanceTTL)
	if errors.Is(err, kv.ErrKeyExists) {
		return ErrRebalancing
	}
	if err != nil {
		return fmt.Errorf("order to rebalance: %w", err)
	}
	return nil
}

// Rebalancing reports whether an order to rebalance is waiting.
func (r *Registry) Rebalancing(ctx context.Context) (bool, error) {
	_, err := r.read(ctx, r.keys.rebalance(), false)
	if errors.Is(err, kv.ErrKeyNotFound) {
		return false, nil
	}
	return err == nil, err
}

// FinishRebalance removes an order that the engine has dealt with, unless
// another has taken its place.
func (r *Registry) FinishRebalance(ctx context.Context, order RebalanceOrder) error {
	err := r.removeIf(ctx, r.keys.rebalance(), kv.Condition{PrevIndex: order.index})
	if err != nil && !errors.Is(err, kv.ErrKeyNotFound) && !errors.Is(err, kv.ErrCompareFailed) {
		return fmt.Errorf("order to rebalance: %w", err)
	}
	return nil
}

// putOrder takes in an order; one that cannot be read is none.
func (m *mirror) putOrder(n kv.Node) {
	var b rebalanceBody
	if json.Unmarshal([]byte(n.Value), &b) != nil {
		m.dropOrder()
		return
	}
	goal, err := ParseGoal(b.Goal)
	if err != nil || b.Budget <= 0 || b.MinGain < 0 {
		m.dropOrder()
		return
	}
	m.order = &RebalanceOrder{schedule.Rebalance{Goal: goal, Budget: b.Budget, MinGain: b.MinGain}, n.ModifiedIndex}
	m.changedOrder = true
}

func (m *mirror) dropOrder() {
	m.changedOrder = m.changedOrder || m.order != nil
	m.order = nil
}
