package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// normalize makes of a command line as fleetctl takes it one that the parser
// takes: names of commands may be cut short as long as they are unique, "help
// COMMAND" is "COMMAND --help", "--version" alone is a command, and old scripts
// have single letters behind two dashes.
func normalize(model *kong.Node, args []string) ([]string, error) {
	if len(args) > 0 && (args[0] == "--version" || args[0] == "-v") {
		return []string{"version"}, nil
	}
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if arg == "--l" || arg == "--f" || arg == "--A" {
			args[i] = arg[1:]
		}
	}
	i := commandIndex(model, args)
	if i < 0 {
		return append(args, "--help"), nil
	}
	name, err := commandName(model, args[i])
	if err != nil {
		return nil, err
	}
	// The parser wants the flags of a command after it.
	rest := slices.Delete(args, i, i+1)
	if name != "help" {
		return append([]string{name}, joinArguments(model, rest)...), nil
	}
	if len(rest) > 0 {
		if rest[0], err = commandName(model, rest[0]); err != nil {
			return nil, err
		}
	}
	return append(rest, "--help"), nil
}

// commandIndex finds the first argument that is neither a flag nor the value of
// one; -1 for none.
func commandIndex(model *kong.Node, args []string) int {
	takesValue := flagsWithValue(model)
	for i := 0; i < len(args); i++ {
		switch {
		case !strings.HasPrefix(args[i], "-"):
			return i
		case takesValue[args[i]]:
			i++ // what follows is the value
		}
	}
	return -1
}

// flagsWithValue are the flags that take a value, which may be the argument after
// them.
func flagsWithValue(model *kong.Node) map[string]bool {
	takesValue := make(map[string]bool)
	for _, node := range append([]*kong.Node{model}, model.Children...) {
		for _, f := range node.Flags {
			takesValue["--"+f.Name] = !f.IsBool()
		}
	}
	return takesValue
}

// joinArguments moves what stands before "--" and is no flag behind it: the
// parser takes arguments from one side only.
func joinArguments(model *kong.Node, args []string) []string {
	end := slices.Index(args, "--")
	if end < 0 {
		return args
	}
	takesValue := flagsWithValue(model)
	var flags, plain []string
	for i := 0; i < end; i++ {
		switch {
		case !strings.HasPrefix(args[i], "-"):
			plain = append(plain, args[i])
		case takesValue[args[i]] && i+1 < end:
			flags = append(flags, args[i], args[i+1])
			i++
		default:
			flags = append(flags, args[i])
		}
	}
	return slices.Concat(flags, []string{"--"}, plain, args[end+1:])
}

// commandName completes the name of a command.
func commandName(model *kong.Node, prefix string) (string, error) {
	var found []string
	for _, c := range model.Children {
		if c.Name == prefix {
			return prefix, nil
		}
		if strings.HasPrefix(c.Name, prefix) {
			found = append(found, c.Name)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("unknown command %q for %q", prefix, "fleetctl")
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("command %q could be any of %s", prefix, strings.Join(found, ", "))
}
