package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func root(t testing.TB) *kong.Node {
	parser, err := kong.New(&cli{}, kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model.Node
}

func TestArgumentsAreBroughtIntoOneForm(t *testing.T) {
	node := root(t)
	for _, c := range []struct{ in, want string }{
		{"", "--help"},
		{"get a", "get -- a"},
		{"-o json get a -q", "get --output=json --quorum -- a"},
		{"--o=json ls --r -sort=false", "ls --output=json --recursive --sort=false"},
		{"set a b --ttl -5", "set --ttl=-5 -- a b"},
		{"set a -5 -", "set -- a -5 -"},
		{"set a -- -x --ttl 5", "set -- a -x --ttl 5"},
		{"set -- a -x", "set -- a -x"},
		{"set a --ttl", "set --ttl -- a"},
		{"set a -x=5", "set --x=5 -- a"},
		{"ls a -p", "ls --p -- a"},
		{"help", "--help"},
		{"h member list", "member list --help"},
		{"member", "member --help"},
		{"exec-watch k -- sh -c x", "exec-watch -- k sh -c x"},
		{"exec-watch k sh -c x", "exec-watch -- k sh -c x"},
		{"exec-watch -r k --after-index 7 grep -- -r", "exec-watch --recursive --after-index=7 -- k grep -- -r"},
		{"exec-watch k -- --odd -- y", "exec-watch -- k --odd -- y"},
	} {
		got, err := normalise(node, strings.Fields(c.in))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("etcdctl %s:\n got %s, %v\nwant %s", c.in, strings.Join(got, " "), err, c.want)
		}
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("set a b --ttl -5")
	f.Add("exec-watch -r k -- sh -c x")
	f.Add("- -- --- -= --=x member list")
	node := root(f)
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		got, err := normalise(node, args)
		if err == nil && len(got) > 2*len(args)+2 {
			t.Errorf("%q became longer: %q", args, got)
		}
	})
}
