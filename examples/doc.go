// Package examples holds runnable programs, each in a folder of its own, and
// checks that the programs in the README compile.
package examples
