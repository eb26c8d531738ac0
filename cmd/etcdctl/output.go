package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/strakeproject/strake/kv"
)

// printKey prints the answer to a command on a file, as all three formats have
// it: simple gives the value, or that of a deleted file.
func printKey(w io.Writer, format string, ev kv.Event) error {
	switch format {
	case "extended":
		printExtended(w, ev)
	case "json":
		return printJSON(w, ev)
	default:
		if ev.Action == kv.ActionDelete {
			fmt.Fprintln(w, "PrevNode.Value:", ev.PrevNode.Value)
		} else {
			fmt.Fprintln(w, ev.Node.Value)
		}
	}
	return nil
}

// printDir prints the answer to a command on a directory, of which simple has
// nothing to say.
func printDir(w io.Writer, format string, ev kv.Event) error {
	if format == "simple" {
		return nil
	}
	return printKey(w, format, ev)
}

// printExtended prints what there is to know of a node line by line.
func printExtended(w io.Writer, ev kv.Event) {
	fmt.Fprintln(w, "Key:", wireKey(ev.Node.Key))
	fmt.Fprintln(w, "Created-Index:", ev.Node.CreatedIndex)
	fmt.Fprintln(w, "Modified-Index:", ev.Node.ModifiedIndex)
	if ev.PrevNode != nil {
		fmt.Fprintln(w, "PrevNode.Value:", ev.PrevNode.Value)
	}
	fmt.Fprintln(w, "TTL:", ttlLeft(ev.Node.Expiration))
	fmt.Fprintln(w, "Index:", ev.Index)
	if ev.Action != kv.ActionDelete {
		fmt.Fprintf(w, "\n%s\n", ev.Node.Value)
	}
}

// eventJSON is an event as the tool prints it, which is not as the server does.
type eventJSON struct {
	Action   kv.Action `json:"action"`
	Node     *nodeJSON `json:"node"`
	PrevNode *nodeJSON `json:"prevNode"`
}

type nodeJSON struct {
	Key           string      `json:"key"`
	Dir           bool        `json:"dir,omitempty"`
	Value         string      `json:"value"`
	Nodes         []*nodeJSON `json:"nodes"`
	CreatedIndex  uint64      `json:"createdIndex"`
	ModifiedIndex uint64      `json:"modifiedIndex"`
	Expiration    *time.Time  `json:"expiration,omitempty"`
	TTL           int64       `json:"ttl,omitempty"`
}

func printJSON(w io.Writer, ev kv.Event) error {
	b, err := json.Marshal(eventJSON{ev.Action, toJSON(&ev.Node), toJSON(ev.PrevNode)})
	if err != nil {
		return fmt.Errorf("encode %s: %w", ev.Node.Key, err)
	}
	fmt.Fprintf(w, "%s\n", b)
	return nil
}

func toJSON(n *kv.Node) *nodeJSON {
	if n == nil {
		return nil
	}
	out := &nodeJSON{
		Key: wireKey(n.Key), Dir: n.Dir, Value: n.Value,
		CreatedIndex: n.CreatedIndex, ModifiedIndex: n.ModifiedIndex,
		TTL: ttlLeft(n.Expiration),
	}
	if !n.Expiration.IsZero() {
		out.Expiration = &n.Expiration
	}
	for i := range n.Nodes {
		out.Nodes = append(out.Nodes, toJSON(&n.Nodes[i]))
	}
	return out
}

// wireKey is the key as servers send it: that of the root is empty.
func wireKey(key string) string {
	if key == "/" {
		return ""
	}
	return key
}

// ttlLeft is the time until a node expires in whole seconds, rounded up; 0 if it
// does not expire.
func ttlLeft(expiration time.Time) int64 {
	if expiration.IsZero() {
		return 0
	}
	left := time.Until(expiration)
	if left > 0 {
		left += time.Second - 1
	}
	return int64(left / time.Second)
}
