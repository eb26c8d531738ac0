package schedule_test

import (
	"testing"

	"github.com/strakeproject/strake/schedule"
)

func TestConditionsOnMetadata(t *testing.T) {
	metadata := map[string]string{"zone": "a", "kernel": "6.10.2", "cores": "16", "odd key": "x y"}
	for text, want := range map[string]bool{
		"zone":                          true,
		"disk":                          false,
		"!disk":                         true,
		"zone=a":                        true,
		"zone = b":                      false,
		"zone!=b":                       true,
		"disk!=ssd":                     true,
		"zone in (a, b)":                true,
		"zone notin (a,b)":              false,
		"disk notin (ssd)":              true,
		"disk in (ssd)":                 false,
		"cores>=16":                     true,
		"cores<9":                       false,
		"kernel>6.9":                    true,
		"kernel<=6.10":                  false,
		"kernel<6.10.10":                true,
		"kernel>6.x":                    false,
		"disk<1 || disk>=1":             false,
		"zone=a && cores>8":             true,
		"zone=b || zone=a && cores>8":   true,
		"(zone=b || zone=a) && cores>8": true,
		"!(zone=a && cores>8)":          false,
		`"odd key"="x y"`:               true,
	} {
		e, err := schedule.ParseExpr(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.Matches(metadata); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	if none := (*schedule.Expr)(nil); !none.Matches(metadata) {
		t.Error("no condition is not met")
	}
}

func TestMalformedConditionsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":        `condition "": ends where a key, ! or ( should be`,
		"a &&":    `condition "a &&": ends where a key, ! or ( should be`,
		"a b":     `condition "a b": character 3: found "b", want the end, && or ||`,
		"a = = b": `condition "a = = b": character 5: found "=", want a value`,
		"a in b":  `condition "a in b": character 6: found "b", want (`,
		"a in (b": `condition "a in (b": ends where ) should be`,
		"a in ()": `condition "a in ()": character 7: found ")", want a value`,
		"(a":      `condition "(a": ends where ) should be`,
		"a & b":   `condition "a & b": character 3: found "&", want the end, && or ||`,
		`a="b`:    "condition \"a=\\\"b\": character 3: found \"\\\"b\", want a value",
		"ä <= $":  `condition "ä <= $": character 6: found "$", want a value`,
	} {
		if _, err := schedule.ParseExpr(text); err == nil || err.Error() != want {
			t.Errorf("%s: got error %v, want %s", text, err, want)
		}
	}
}

// What is read can be written and read again, to the same effect.
func FuzzParseExpr(f *testing.F) {
	for _, s := range []string{"a", "!a", "a=b && (c!=d || e in (f,g))", "a notin (x)", "v>=1.2.3", `"a b"="c"`, "((a))", "a<", "in in (in)", `""`} {
		f.Add(s, "a", "b")
	}
	f.Fuzz(func(t *testing.T, text, key, value string) {
		e, err := schedule.ParseExpr(text)
		if err != nil {
			return
		}
		again, err := schedule.ParseExpr(e.String())
		if err != nil {
			t.Fatalf("%q: reading %q: %v", text, e, err)
		}
		metadata := map[string]string{key: value}
		if e.String() != again.String() || e.Matches(metadata) != again.Matches(metadata) {
			t.Fatalf("%q became %q, and that %q", text, e, again)
		}
	})
}
