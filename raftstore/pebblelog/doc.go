// Package pebblelog keeps a raft log in a Pebble database of its own. Entries
// and hard state of one Append form one batch; with sync it is on disk when
// Append returns.
package pebblelog
