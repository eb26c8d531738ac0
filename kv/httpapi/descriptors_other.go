//go:build !linux

package httpapi

func descriptorLimit() uint64 { return 0 }
