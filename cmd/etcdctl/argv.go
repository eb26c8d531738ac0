package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// normalise rewrites arguments of the original's style for kong: one dash is as
// good as two, flags may follow words, a value may begin with a dash, "help X"
// asks for the help of X, and the command that exec-watch is to run is left
// alone. The result is the command, its flags, "--" and its words.
func normalise(root *kong.Node, args []string) ([]string, error) {
	n := normaliser{node: root}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case n.verbatim():
			n.words = append(append(n.words, arg), args...)
			args = nil
		case arg == "--":
			n.literal = true
		case isFlag(arg) && !n.literal:
			args = n.flag(arg, args)
		case n.node.Leaf():
			n.words = append(n.words, arg)
		case n.node == root && (arg == "help" || arg == "h"):
			n.help = true
		default:
			if err := n.command(arg); err != nil {
				return nil, err
			}
		}
	}
	return n.result(), nil
}

// normaliser walks down the tree of commands while it goes through arguments.
type normaliser struct {
	node     *kong.Node // the command that the arguments so far have named
	commands []string   // the way there
	flags    []string
	words    []string // arguments of the command that are no flags
	literal  bool     // nothing is a flag any more
	help     bool
}

// isFlag tells flags from words; a lone dash and a negative number are words.
func isFlag(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && (arg[1] < '0' || arg[1] > '9')
}

// verbatim reports whether what follows belongs to the program that exec-watch
// is to run: all that comes after the key, except flags before its name.
func (n *normaliser) verbatim() bool {
	return n.node.Name == "exec-watch" && (len(n.words) > 1 || len(n.words) == 1 && n.literal)
}

// flag takes over a flag, and its value from rest if it needs one.
func (n *normaliser) flag(arg string, rest []string) []string {
	name, value, given := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
	f := n.find(name)
	if f == nil {
		n.flags = append(n.flags, "--"+name) // for kong to refuse
		return rest
	}
	if !given && !f.IsBool() && len(rest) > 0 {
		value, given, rest = rest[0], true, rest[1:]
	}
	name = "--" + f.Name
	if given {
		name += "=" + value
	}
	n.flags = append(n.flags, name)
	return rest
}

// find looks for a flag of the command or those above it by either name.
func (n *normaliser) find(name string) *kong.Flag {
	for node := n.node; node != nil; node = node.Parent {
		for _, f := range node.Flags {
			if f.Name == name || f.Short != 0 && string(f.Short) == name {
				return f
			}
		}
	}
	return nil
}

// command goes down to a command by its name.
func (n *normaliser) command(name string) error {
	i := slices.IndexFunc(n.node.Children, func(c *kong.Node) bool { return c.Name == name })
	if i < 0 {
		return unknownCommand(name)
	}
	n.node = n.node.Children[i]
	n.commands = append(n.commands, name)
	return nil
}

// result puts the arguments in order. Help is also what a group of commands
// alone gives.
func (n *normaliser) result() []string {
	out := slices.Concat(n.commands, n.flags)
	if n.help || !n.node.Leaf() {
		out = append(out, "--help")
	}
	if len(n.words) > 0 {
		out = append(append(out, "--"), n.words...)
	}
	return out
}

// unknownCommand is the name of a command that there is not.
type unknownCommand string

// Error has the original's words.
func (c unknownCommand) Error() string { return "No help topic for '" + string(c) + "'" }
