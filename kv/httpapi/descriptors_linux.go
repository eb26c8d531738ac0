package httpapi

import "golang.org/x/sys/unix"

// descriptorLimit returns how many files this process may have open; 0 if that
// is not known.
func descriptorLimit() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return l.Cur
}
