package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/strakeproject/strake/kv"
)

// eventJSON is an event on the wire.
type eventJSON struct {
	Action   kv.Action `json:"action"`
	Node     *nodeJSON `json:"node"`
	PrevNode *nodeJSON `json:"prevNode"`
}

// nodeJSON is a node on the wire. The root comes without a key.
type nodeJSON struct {
	Key           string     `json:"key"`
	Value         string     `json:"value"`
	Dir           bool       `json:"dir"`
	Expiration    time.Time  `json:"expiration"`
	Nodes         []nodeJSON `json:"nodes"`
	ModifiedIndex uint64     `json:"modifiedIndex"`
	CreatedIndex  uint64     `json:"createdIndex"`
}

func (n *nodeJSON) node() kv.Node {
	out := kv.Node{
		Key:           kv.Clean(n.Key),
		Value:         n.Value,
		Dir:           n.Dir,
		CreatedIndex:  n.CreatedIndex,
		ModifiedIndex: n.ModifiedIndex,
		Expiration:    n.Expiration,
	}
	for i := range n.Nodes {
		out.Nodes = append(out.Nodes, n.Nodes[i].node())
	}
	return out
}

// decodeEvent reads the JSON of an event; its index stands beside it.
func decodeEvent(b []byte, index uint64) (kv.Event, error) {
	var e eventJSON
	if err := json.Unmarshal(b, &e); err != nil {
		return kv.Event{}, fmt.Errorf("decode event: %w", err)
	}
	if e.Action == "" || e.Node == nil {
		return kv.Event{}, fmt.Errorf("decode event: no action or node in %.80q", b)
	}
	ev := kv.Event{Action: e.Action, Node: e.Node.node(), Index: index}
	if e.PrevNode != nil {
		prev := e.PrevNode.node()
		ev.PrevNode = &prev
	}
	return ev, nil
}

// decodeError turns the answer to a failed request into an error: a *kv.Error
// if it is one of the key space, else a *StatusError.
func decodeError(a *answer) error {
	var e struct {
		Code    kv.Code `json:"errorCode"`
		Cause   string  `json:"cause"`
		Index   uint64  `json:"index"`
		Message string  `json:"message"`
	}
	if err := json.Unmarshal(a.body, &e); err != nil || e.Code == 0 {
		return &StatusError{Status: a.status, Message: e.Message}
	}
	return &kv.Error{Code: e.Code, Cause: e.Cause, Index: e.Index}
}

// storeIndex returns the store index of an answer; 0 if it has none.
func storeIndex(h http.Header) uint64 {
	n, err := strconv.ParseUint(h.Get("X-Etcd-Index"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
