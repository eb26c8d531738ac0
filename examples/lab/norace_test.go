//go:build linux && !race

package lab_test

// buildFlags build the program as the test was built.
var buildFlags []string
