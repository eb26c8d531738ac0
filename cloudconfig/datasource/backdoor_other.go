//go:build !amd64

package datasource

// hasBackdoor is false where nobody has written the instruction down.
func hasBackdoor() bool { return false }

// callHypervisor is a port.
func callHypervisor(*registers) error { return errNoBackdoor }
