//go:build !linux

package httppeer

// readable would report whether a read from a socket would not wait.
func readable(uintptr) bool { return false }
