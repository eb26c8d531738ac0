// Package goflags lets programs that kong parses take command lines as Go's package
// flag does, which scripts and units of old are written for: one dash is as good as
// two, and what follows a flag that takes a value is its value, whatever it begins
// with.
//
// What you hold: [Normalize], for a program without commands, and [Take], for one
// that goes through its arguments itself. Both only rewrite: what is wrong with the
// arguments the parser says.
package goflags
