package unitfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strakeproject/strake/schedule"
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

// unit and schedule each have Resources of their own, so that neither needs the
// other; what one accepts the other has to.
func TestTheLargestAmountOfAUnitFileIsTheLargestTheSchedulerTakes(t *testing.T) {
	for _, c := range []struct {
		amount int64
		ok     bool
	}{{schedule.MaxAmount, true}, {schedule.MaxAmount + 1, false}} {
		for _, option := range []string{"Memory", "Disk", "Resources=gpu"} {
			text := fmt.Sprintf("[X-Fleet]\n%s=%d\n", option, c.amount)
			if _, _, err := unitfile.Read("a.service", parse(t, text), unitfile.Off); (err == nil) != c.ok {
				t.Errorf("%s=%d in a unit file: accepted %v, want %v: %v", option, c.amount, err == nil, c.ok, err)
			}
		}
		u := schedule.Unit{Name: "a.service", Request: schedule.Resources{
			Memory: c.amount, Disk: c.amount, Counters: map[string]int64{"gpu": c.amount},
		}}
		if err := schedule.New(schedule.Options{}).SetUnit(u); (err == nil) != c.ok {
			t.Errorf("a unit that requests %d: accepted %v, want %v: %v", c.amount, err == nil, c.ok, err)
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

// FuzzRead wants the scheduler to take every unit that Read makes: it refuses a
// whole cluster for one that is malformed.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		"Memory=512M\nCPU=250m\nDisk=1.5G\nResources=gpu=1 license/foo=2",
		"Ports=80 53/udp dynamic:3\nPriority=-5\nSpread=zone/rack max-skew=2\nMaxPerMachine=3",
		"Prefer=-20 disk=ssd\nRequire=\"a in (b,c)\"\nRequire=!d\nPin=first\nPreemptible=no\nMovable=off",
		"MachineOf=%p@%i.service\nMachineMetadata=\"a=1\" \"b=2\"\nConflicts=x* y*\nGlobal=no",
		"Global=yes\nPorts=80\nMemory=2P",
	} {
		f.Add("web@1.service", "[Service]\nMemoryMax=2P\nCPUQuota=10%\n[X-Fleet]\n"+text)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		file, err := unit.Parse([]byte(text))
		if err != nil || unit.CheckName(name) != nil {
			return
		}
		for _, d := range []unitfile.Derive{unitfile.Estimate, unitfile.Request, unitfile.Off} {
			u, _, err := unitfile.Read(name, file, d)
			if err != nil {
				continue
			}
			if err := schedule.New(schedule.Options{}).SetUnit(u); err != nil {
				t.Fatalf("unit %s of\n%s\nis refused: %v", name, text, err)
			}
		}
	})
}
