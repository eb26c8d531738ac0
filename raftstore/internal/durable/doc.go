// Package durable makes directories of a vfs.FS survive a loss of power.
package durable
