package goflags_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/strakeproject/strake/cmd/internal/goflags"
)

type program struct {
	Name    string `short:"n"`
	Verbose bool
	Level   int `type:"counter" short:"l"`
	List    []string
	Get     struct {
		Key   string `arg:""`
		Quiet bool
	} `cmd:""`
}

func model(t testing.TB) *kong.Node {
	t.Helper()
	return kong.Must(&program{}).Model.Node
}

func TestArgumentsAreRewrittenForKong(t *testing.T) {
	root := model(t)
	for in, want := range map[string]string{
		"":                         "",
		"-name a":                  "--name=a",
		"--name a":                 "--name=a",
		"-name=a":                  "--name=a",
		"-name=":                   "--name=",
		"-n a":                     "--name=a",
		"-name -verbose -verbose":  "--name=-verbose --verbose",
		"-name -- -verbose":        "--name=-- --verbose",
		"-name":                    "--name",
		"-verbose a":               "--verbose a",
		"-verbose=false a":         "--verbose=false a",
		"-l -level":                "--level --level",
		"-list a -list -b":         "--list=a --list=-b",
		"-h":                       "--help",
		"-help":                    "--help",
		"-unknown a -unknown=b":    "--unknown a --unknown=b",
		"word - -5 -verbose":       "word - -5 --verbose",
		"-verbose -- -verbose -n":  "--verbose -- -verbose -n",
		"-quiet":                   "--quiet", // not of this node: for kong to refuse
		"---name a":                "---name a",
		"-name=a=b -name a=b":      "--name=a=b --name=a=b",
		"get -verbose key -name -": "get --verbose key --name=-",
	} {
		if got := strings.Join(goflags.Normalize(root, strings.Fields(in)), " "); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestAFlagMayBeOfTheCommandOrOfThoseAboveIt(t *testing.T) {
	root := model(t)
	get := root.Children[slices.IndexFunc(root.Children, func(n *kong.Node) bool { return n.Name == "get" })]
	for in, want := range map[string]string{
		"-quiet a":  "--quiet, then [a]",
		"-n a b":    "--name=a, then [b]",
		"-verbose ": "--verbose, then []",
	} {
		flag, rest := goflags.Take(get, strings.Fields(in))
		if got := fmt.Sprintf("%s, then %v", flag, rest); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	f.Add("-name a --verbose -- -x")
	f.Add("--=\x00-\x00---=a")
	root := model(f)
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		once := goflags.Normalize(root, args)
		if again := goflags.Normalize(root, once); !slices.Equal(again, once) {
			t.Errorf("%q becomes %q and that %q", args, once, again)
		}
	})
}

func Example() {
	var flags struct {
		DataDir string
		Debug   bool
	}
	parser := kong.Must(&flags)
	if _, err := parser.Parse(goflags.Normalize(parser.Model.Node, []string{"-data-dir", "-odd-", "-debug"})); err != nil {
		fmt.Println(err)
	}
	fmt.Println(flags.DataDir, flags.Debug)
	// Output: -odd- true
}
