package main

import (
	"slices"

	"github.com/alecthomas/kong"

	"github.com/strakeproject/strake/cmd/internal/goflags"
)

// normalise rewrites arguments of the original's style for kong: one dash is as
// good as two, flags may follow words, a value may begin with a dash, "help X"
// asks for the help of X, and the command that exec-watch is to run is left
// alone. The result is the command, its flags, "--" and its words.
func normalise(root *kong.Node, args []string) ([]string, error) {
	n := normaliser{node: root}
	for len(args) > 0 {
		arg, rest := args[0], args[1:]
		switch {
		case n.verbatim():
			n.words = append(n.words, args...)
			rest = nil
		case arg == "--":
			n.literal = true
		case goflags.IsFlag(arg) && !n.literal:
			var flag string
			flag, rest = goflags.Take(n.node, args)
			n.flags = append(n.flags, flag)
		case n.node.Leaf():
			n.words = append(n.words, arg)
		case n.node == root && (arg == "help" || arg == "h"):
			n.help = true
		default:
			if err := n.command(arg); err != nil {
				return nil, err
			}
		}
		args = rest
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

// verbatim reports whether what follows belongs to the program that exec-watch
// is to run: all that comes after the key, except flags before its name.
func (n *normaliser) verbatim() bool {
	return n.node.Name == "exec-watch" && (len(n.words) > 1 || len(n.words) == 1 && n.literal)
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
