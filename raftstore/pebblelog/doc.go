// Package pebblelog keeps a raft log in a Pebble database of its own. Entries
// and hard state of one Append form one batch; with sync it is on disk when
// Append returns. It is there for those who want the log in a database; seglog
// does the same in half the time.
//
// A disk that fails does not take the process along, as it does with a plain
// Pebble: see [Guard], which serves other Pebble databases as well.
package pebblelog
