// Package raftmetrics shows a raftstore.Node to Prometheus. Register the
// Collector of each node with a registry of your own; it reads the node when it
// is scraped and costs nothing otherwise.
package raftmetrics
