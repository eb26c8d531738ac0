package unitfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strakeproject/strake/schedule/unitfile"
	"github.com/strakeproject/strake/unit"
)

func parse(t testing.TB, text string) *unit.File {
	t.Helper()
	f, err := unit.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLimitsCountAsTheClusterSays(t *testing.T) {
	f := parse(t, "[Service]\nMemoryMax=1G\nCPUQuota=50%\n[X-Fleet]\nCPU=2\n")
	for _, c := range []struct {
		derive                   unitfile.Derive
		cpu, memory, estCPU, est int64
	}{
		{unitfile.Estimate, 2000, 0, 0, 1 << 30},
		{unitfile.Request, 2000, 1 << 30, 0, 0},
		{unitfile.Off, 2000, 0, 0, 0},
	} {
		u, _, err := unitfile.Read("a.service", f, c.derive)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(u.Request.CPU, u.Request.Memory, u.Estimate.CPU, u.Estimate.Memory)
		if want := fmt.Sprint(c.cpu, c.memory, c.estCPU, c.est); got != want {
			t.Errorf("derive %d: request and estimate are %s, want %s", c.derive, got, want)
		}
	}
}

func TestConditionsAreReadTogether(t *testing.T) {
	u, _, err := unitfile.Read("a.service", parse(t, "[X-Fleet]\nRequire=a || b\nRequire=c\nPrefer=-5 d\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		metadata string
		want     bool
	}{{"a", false}, {"c", false}, {"a c", true}, {"b c", true}} {
		m := map[string]string{}
		for _, k := range strings.Fields(c.metadata) {
			m[k] = "1"
		}
		if got := u.Require.Matches(m); got != c.want {
			t.Errorf("%s with metadata %q: got %v, want %v", u.Require, c.metadata, got, c.want)
		}
	}
	if len(u.Prefer) != 1 || u.Prefer[0].Weight != -5 || u.Prefer[0].Expr.String() != "d" {
		t.Errorf("preferences: got %+v", u.Prefer)
	}
}

func TestAConditionThatCannotBeReadIsRefusedWithItsLine(t *testing.T) {
	for _, c := range []struct{ option, want string }{
		{"Require=a &&", `line 2: Require: condition "a &&": ends where`},
		{"Prefer=10 = b", `line 2: Prefer: condition "= b": character 1`},
	} {
		_, _, err := unitfile.Read("a.service", parse(t, "[X-Fleet]\n"+c.option+"\n"), 0)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s...", c.option, err, c.want)
		}
	}
}
