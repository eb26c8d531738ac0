package goflags

import (
	"strings"

	"github.com/alecthomas/kong"
)

// IsFlag tells flags from words; a lone dash and a negative number are words. Two
// dashes, which end the flags, are the caller's to look for.
func IsFlag(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && (arg[1] < '0' || arg[1] > '9')
}

// Normalize returns the arguments of a program without commands as kong wants them.
// Words stay where they are, and so does all from "--" on.
func Normalize(root *kong.Node, args []string) []string {
	var out []string
	for len(args) > 0 && args[0] != "--" {
		if !IsFlag(args[0]) {
			out, args = append(out, args[0]), args[1:]
			continue
		}
		var flag string
		flag, args = Take(root, args)
		out = append(out, flag)
	}
	return append(out, args...)
}

// Take takes the flag at the front of the arguments, with its value. It returns it
// as --name or --name=value, and the arguments after it. The flag is one of the
// node's or of one above it, by its long name or its letter; one that is unknown
// takes no argument.
func Take(node *kong.Node, args []string) (flag string, rest []string) {
	name, value, given := strings.Cut(strings.TrimPrefix(args[0][1:], "-"), "=")
	rest = args[1:]
	if f := find(node, name); f != nil {
		name = f.Name
		if !given && !f.IsBool() && !f.IsCounter() && len(rest) > 0 {
			value, given, rest = rest[0], true, rest[1:]
		}
	}
	if given {
		name += "=" + value
	}
	return "--" + name, rest
}

func find(node *kong.Node, name string) *kong.Flag {
	for ; node != nil; node = node.Parent {
		for _, f := range node.Flags {
			if f.Name == name || f.Short != 0 && string(f.Short) == name {
				return f
			}
		}
	}
	return nil
}
