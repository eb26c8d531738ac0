//go:build !unix

package httpapi

func descriptorLimit() uint64 { return 0 }
