package unit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/strakeproject/strake/unit"
)

func TestCheckNameGivesFleetsTextsInFleetsOrder(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"foo.service", ""},
		{"foo@.service", ""},
		{"foo@bar@2.socket", ""},
		{`a:B-9_x\x2d.b.mount`, ""},
		{strings.Repeat("a", 248) + ".service", ""},
		{"", "unit name cannot be empty"},
		{strings.Repeat("a", 249) + ".service", "unit name exceeds maximum length (256)"},
		{strings.Repeat("a", 257), "unit name exceeds maximum length (256)"},
		{"foo", `unit name must contain "."`},
		{"foo!", `unit name must contain "."`},
		{"foo.", `unit name cannot end in "."`},
		{"f!oo.", `unit name cannot end in "."`},
		{"foo.foo", `invalid unit type: "foo"`},
		{"foo.Service", `invalid unit type: "Service"`},
		{"foo.serv@ice", `invalid unit type: "serv@ice"`},
		{"f!o@1.mount", `invalid unit type for template: "mount"`},
		{"f!oo.service", "invalid character '!' in unit name"},
		{"a/b.service", "invalid character '/' in unit name"},
		{"a b.service", "invalid character ' ' in unit name"},
		{"schön.service", "invalid character 'ö' in unit name"},
		{"@!.service", "invalid character '!' in unit name"},
		{"@foo.service", `unit name cannot start in "@"`},
	} {
		got := ""
		if err := unit.CheckName(c.name); err != nil {
			got = err.Error()
			if e, ok := errors.AsType[*unit.NameError](err); !ok || e.Name != c.name {
				t.Errorf("CheckName(%q) = %#v, want a NameError with that name", c.name, err)
			}
		}
		if got != c.want {
			t.Errorf("CheckName(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNameComesApart(t *testing.T) {
	for _, c := range []struct {
		name                                       unit.Name
		stem, prefix, instance, suffix, templateOf string
		isTemplate                                 bool
	}{
		{"foo.service", "foo", "foo", "", ".service", "", false},
		{"foo@.service", "foo@", "foo", "", ".service", "", true},
		{"foo@1.service", "foo@1", "foo", "1", ".service", "foo@.service", false},
		{"a.b@c@d.e.timer", "a.b@c@d.e", "a.b", "c@d.e", ".timer", "a.b@.timer", false},
		{"foo", "foo", "foo", "", "", "", false},
	} {
		n := c.name
		if n.Stem() != c.stem || n.Prefix() != c.prefix || n.Instance() != c.instance ||
			n.Suffix() != c.suffix || n.Template() != c.templateOf || n.IsTemplate() != c.isTemplate {
			t.Errorf("%q: got stem %q prefix %q instance %q suffix %q template %q is-template %v, want %+v",
				n, n.Stem(), n.Prefix(), n.Instance(), n.Suffix(), n.Template(), n.IsTemplate(), c)
		}
	}
}

func TestMangleAppendsServiceToWhatHasNoUnitSuffix(t *testing.T) {
	for in, want := range map[string]string{
		"foo":         "foo.service",
		"foo.service": "foo.service",
		"foo.target":  "foo.target",
		"foo.slice":   "foo.slice",
		"foo.bar":     "foo.bar.service",
		"foo.":        "foo..service",
		"service":     "service.service",
		"foo@1":       "foo@1.service",
	} {
		if got := unit.Mangle(in); got != want {
			t.Errorf("Mangle(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestExpandKnowsFourSpecifiers(t *testing.T) {
	for _, c := range []struct {
		name     unit.Name
		in, want string
	}{
		{"web@7.service", "%n %N %p %i", "web@7.service web@7 web 7"},
		{"web.service", "%n %N %p [%i]", "web.service web web []"},
		{"web@7.service", "%% %H %m %%i", "%% %H %m %7"},
		{"web@7.service", "disk", "disk"},
	} {
		if got := c.name.Expand(c.in); got != c.want {
			t.Errorf("%q.Expand(%q) = %q, want %q", c.name, c.in, got, c.want)
		}
	}
}
