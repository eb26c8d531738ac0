package datasource

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"
)

// in executes an IN of four bytes with the registers.
//
//go:noescape
func in(r *registers)

// cpuid executes CPUID for a leaf.
func cpuid(leaf uint32) (ax, bx, cx, dx uint32)

// hasBackdoor asks the processor whether it is one of VMware's. Elsewhere the
// instruction would be somebody else's.
func hasBackdoor() bool {
	const (
		features     = 1
		underAnybody = 1 << 31
		hypervisor   = 0x40000000
	)
	if _, _, cx, _ := cpuid(features); cx&underAnybody == 0 {
		return false
	}
	_, bx, cx, dx := cpuid(hypervisor)
	var name []byte
	for _, part := range []uint32{bx, cx, dx} {
		name = binary.LittleEndian.AppendUint32(name, part)
	}
	return string(name) == "VMwareVMware"
}

// callHypervisor is a port. An administrator may have closed it; then, as on any
// other machine, the instruction is a fault, of which this makes an error.
func callHypervisor(r *registers) (err error) {
	before := debug.SetPanicOnFault(true) // of this goroutine alone
	defer debug.SetPanicOnFault(before)
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", errNoBackdoor, fault)
		}
	}()
	in(r)
	return nil
}
