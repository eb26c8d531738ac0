package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// resolver is what a configuration file says, by the names of flags. It gives way
// to flags, which kong sees to, and to variables. It is filled by read, between the
// parser's making, which it is part of, and its use: where the file is the
// arguments say, and how those are to be read the parser.
type resolver struct {
	path   string
	values map[string]value
	env    map[string]string
}

// value is what the file says for a flag.
type value struct {
	text string
	line int
}

var _ kong.Resolver = (*resolver)(nil)

// sections are groups of keys, and what comes before each name.
func sections() map[string]string {
	return map[string]string{"client-transport-security": "", "peer-transport-security": "peer-"}
}

// read reads the configuration file that the arguments or the environment name, if
// they name one. Keys to be ignored are dropped and returned.
func (r *resolver) read(args []string, env map[string]string) (dropped []string, err error) {
	*r = resolver{path: configFile(args, env), values: map[string]value{}, env: env}
	if r.path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(r.path)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		if load, ok := errors.AsType[*yaml.LoadError](err); ok && load.Mark.Line > 0 {
			return nil, fmt.Errorf("%s, line %d: %s", r.path, load.Mark.Line, load.Message)
		}
		return nil, fmt.Errorf("%s: %s", r.path, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	err = r.section(doc.Content[0], "", &dropped)
	return dropped, err
}

// configFile returns the path of the file, from arguments with a value each.
func configFile(args []string, env map[string]string) string {
	path := env["ETCD_CONFIG_FILE"]
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "--config-file="); ok {
			path = v
		}
	}
	return path
}

// section takes the keys of a mapping.
func (r *resolver) section(n *yaml.Node, prefix string, dropped *[]string) error {
	if n.Kind != yaml.MappingNode {
		return r.refuse(n, "is not a mapping of flags to values")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, node := n.Content[i], n.Content[i+1]
		if sub, ok := sections()[key.Value]; ok && prefix == "" {
			if node.Tag != "!!null" {
				if err := r.section(node, sub, dropped); err != nil {
					return err
				}
			}
			continue
		}
		name := flagName(prefix, key.Value)
		if is, _ := isIgnored(name); is {
			*dropped = append(*dropped, r.path+": "+key.Value)
			continue
		}
		text, ok := scalar(node)
		if !ok {
			return r.refuse(node, fmt.Sprintf("%s is neither a value nor a list of values", key.Value))
		}
		if _, twice := r.values[name]; twice {
			return r.refuse(key, key.Value+" is given twice")
		}
		r.values[name] = value{text: text, line: key.Line}
	}
	return nil
}

// flagName is the flag that a key of a section stands for.
func flagName(prefix, key string) string {
	if prefix == "peer-" && strings.HasPrefix(key, "allowed-") {
		return "peer-cert-" + key
	}
	return prefix + key
}

// scalar returns the text of a value, or of a list of values with commas.
func scalar(n *yaml.Node) (text string, ok bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "", true
		}
		return n.Value, true
	case yaml.SequenceNode:
		var parts []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return "", false
			}
			parts = append(parts, item.Value)
		}
		return strings.Join(parts, ","), true
	}
	return "", false
}

func (r *resolver) refuse(n *yaml.Node, reason string) error {
	return fmt.Errorf("%s, line %d: %s", r.path, n.Line, reason)
}

// Validate implements kong.Resolver: all keys must be flags.
func (r *resolver) Validate(app *kong.Application) error {
	var first error
	line := 0
	for name, v := range r.values {
		known := slices.ContainsFunc(app.Flags, func(f *kong.Flag) bool {
			return f.Name == name && name != "help" && name != "version" && name != "config-file"
		})
		if !known && (first == nil || v.line < line) {
			first, line = fmt.Errorf("%s, line %d: no flag is called %s", r.path, v.line, name), v.line
		}
	}
	return first
}

// Resolve implements kong.Resolver.
func (r *resolver) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if r.env[name] != "" {
			return nil, nil
		}
	}
	if v, ok := r.values[flag.Name]; ok && v.text != "" {
		return v.text, nil
	}
	return nil, nil
}

// blame names the line of the file that an error of the parser is about, if it is
// about one.
func (r *resolver) blame(err error) (message string, ok bool) {
	for name, v := range r.values {
		reason, found := strings.CutPrefix(err.Error(), "--"+name)
		if _, overridden := r.env["ETCD_"+strings.ReplaceAll(strings.ToUpper(name), "-", "_")]; found && !overridden {
			return fmt.Sprintf("%s, line %d: %s%s", r.path, v.line, name, reason), true
		}
	}
	return "", false
}
