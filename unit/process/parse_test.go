//go:build linux

package process

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTimeSpansReadAsInSystemd(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration // negative: refused
	}{
		{"5", 5 * time.Second},
		{"0", 0},
		{"500ms", 500 * time.Millisecond},
		{"1min 30s", 90 * time.Second},
		{"1min30s", 90 * time.Second},
		{" 2 h  1.5 minutes ", 2*time.Hour + 90*time.Second},
		{"1M 1m", 2629800*time.Second + time.Minute},
		{"3us", 3 * time.Microsecond},
		{"1d 1w", 8 * 24 * time.Hour},
		{"infinity", infinite},
		{"999999y", infinite},
		{"", -1},
		{"s", -1},
		{"5 parsecs", -1},
		{"-5s", -1},
		{"1..5s", -1},
		{"infinity 5s", -1},
	} {
		got, err := parseSpan(c.in)
		if c.want < 0 && err == nil || c.want >= 0 && (err != nil || got != c.want) {
			t.Errorf("parseSpan(%q) = %v, %v, want %v", c.in, got, err, c.want)
		}
	}
}

func TestEnvironmentFilesReadAsInSystemd(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"A=1\nB = 2  \r\n C=\n", []string{"A=1", "B=2", "C="}},
		{"# A=1\n; B=2 \\\nC=3\nD=4", []string{"D=4"}},
		{"A=b # no comment", []string{"A=b # no comment"}},
		{`A="x y" 'z'"w"`, []string{"A=x yzw"}},
		{`A=it"s "bare`, []string{`A=it"s "bare`}},
		{`A="\"\$\a"`, []string{`A="$\a`}},
		{`A='\$"'`, []string{`A=\$"`}},
		{"A=one \\\n two\nB=\\\n3", []string{"A=one  two", "B=3"}},
		{"A=\"one\ntwo\"\nB=1", []string{"A=one\ntwo", "B=1"}},
		{"words\nA=1\nmore", []string{"A=1"}},
		{"A=\"open", []string{"A=open"}},
		{`A=x\ `, []string{"A=x "}},
		{`A=x\`, []string{"A=x"}},
	} {
		if got := parseEnvFile(c.text); !slices.Equal(got, c.want) {
			t.Errorf("parseEnvFile(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestWordsAreSplitAndUnquotedAsInSystemd(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{" a  b\tc ", []string{"a", "b", "c"}},
		{`"a b" 'c "d"' "e 'f'"`, []string{"a b", `c "d"`, "e 'f'"}},
		{`--x="a b"c`, []string{"--x=a bc"}},
		{`"" ''`, []string{"", ""}},
		{`a\ b a\sb \x41\101\u00e9\U0001f600`, []string{`a\ b`, "a b", "AAé😀"}},
		{`\x4 \xzz \400 \u00 \q \x00 a\`, []string{`\x4`, `\xzz`, `\400`, `\u00`, `\q`, `\x00`, `a\`}},
		{`"a\"b" 'a\'b' "a\\"`, []string{`a"b`, "a'b", `a\`}},
	} {
		got, err := words(c.in)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("words(%q) = %q, %v, want %q", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{`"a`, `a'`, `a "b\"`} {
		if got, err := words(in); err == nil {
			t.Errorf("words(%q) = %q, want an error", in, got)
		}
	}
}

func TestVariablesExpandAsInSystemd(t *testing.T) {
	env := map[string]string{"A": "x y", "Q": `"x y" z`, "E": "", "BAD": `"open word`}
	for _, c := range []struct {
		in, want string // words separated by |
	}{
		{"p|$A|${A}|a$A|a${A}b", "p|x|y|x y|a$A|ax yb"},
		{"p|$Q|$E|$NONE|${NONE}|end", "p|x y|z||end"},
		{"p|$$A|$${A}|$|${|${A|${-}|$$$$", "p|$A|${A}|$|${|${A|${-}|$$"},
		{"$A|${A}", "$A|x y"},
		{"p|$BAD", `p|"open|word`},
	} {
		got := strings.Join(expandArgs(strings.Split(c.in, "|"), env), "|")
		if got != c.want {
			t.Errorf("expandArgs(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestNamesAreUnescapedAsInSystemd(t *testing.T) {
	for in, want := range map[string]string{"a-b": "a/b", `a\x2db`: "a-b", `\x2`: `\x2`, `\xzz-`: `\xzz/`, "": ""} {
		if got := unescapeName(in); got != want {
			t.Errorf("unescapeName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestStartLimitCountsFromTheFirstStart(t *testing.T) {
	var l startLimit
	at := time.Unix(0, 0)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {time.Second, true}, {2 * time.Second, false}, {10 * time.Second, false}, {11 * time.Second, true}, {12 * time.Second, true}, {13 * time.Second, false}} {
		if got := l.allow(at.Add(c.after), 10*time.Second, 2); got != c.want {
			t.Errorf("start after %s: allowed %v, want %v", c.after, got, c.want)
		}
	}
	for range 100 {
		if !l.allow(at, 0, 2) || !l.allow(at, time.Second, 0) {
			t.Fatal("a limit of zero limits")
		}
	}
}

func FuzzCommandLine(f *testing.F) {
	for _, s := range []string{`/bin/sh -c "a; b"`, `-@/bin/a b 'c d' ; /bin/e \; $F ${G}`, `:+!a\x41\u00e9 \`, `/a "`, "; ;", "- "} {
		f.Add(s)
	}
	env := map[string]string{"F": "1 2", "G": "3"}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parseCommands(s, func(s string) string { return s })
		if err != nil {
			return
		}
		for _, c := range list {
			if c.path == "" || len(c.argv) == 0 {
				t.Fatalf("parseCommands(%q) = %+v: a command without program or name", s, list)
			}
			before := slices.Clone(c.argv)
			if out := expandArgs(c.argv, env); len(out) == 0 || out[0] != before[0] || !slices.Equal(c.argv, before) {
				t.Fatalf("expandArgs(%q) = %q, and left %q", before, out, c.argv)
			}
		}
	})
}

func FuzzEnvFile(f *testing.F) {
	for _, s := range []string{"A=1", "A=\"b\\\n c\" d\\", "# x\\\n;\nB='", "=\n==\r\n\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, e := range parseEnvFile(s) {
			if !strings.Contains(e, "=") {
				t.Fatalf("parseEnvFile(%q) has %q", s, e)
			}
		}
	})
}

func FuzzTimeSpan(f *testing.F) {
	for _, s := range []string{"1min 30s", "infinity", "1.5h", "5", "µs", "1e9y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := parseSpan(s); err == nil && d < 0 {
			t.Fatalf("parseSpan(%q) = %v", s, d)
		}
	})
}
