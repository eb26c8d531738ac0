//go:build !linux

package httpapi

// ears are not to be had here: each connection whose watch waits is listened to by
// a goroutine of its own.
type ears struct{}

func (*ears) close() {}

func (*ears) add(*hotConn) uint64 { return 0 }

func (*ears) remove(*hotConn, uint64) {}
