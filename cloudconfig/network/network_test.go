package network_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/strakeproject/strake/cloudconfig/network"
)

// Each transcript command is a kind, its input a description; the output is what
// becomes of the machine.
func TestDescriptionsBecomeUnits(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s, err := network.Convert(network.Kind(d.Cmd), []byte(d.Input))
			if err != nil {
				return "error: " + err.Error() + "\n"
			}
			return show(s)
		})
	})
}

func show(s *network.Setup) string {
	var b strings.Builder
	if len(s.Down) > 0 {
		fmt.Fprintf(&b, "down: %s\n", strings.Join(s.Down, " "))
	}
	for _, m := range s.Modules {
		fmt.Fprintf(&b, "modprobe: %s\n", strings.Join(append([]string{m.Name}, m.Options...), " "))
	}
	for _, u := range s.Units {
		fmt.Fprintf(&b, "-- %s --\n", u.Name)
		for line := range strings.Lines(u.Content) {
			if line == "\n" {
				line = ".\n" // blank lines end the output of a transcript
			}
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestAnUnknownKindIsRefused(t *testing.T) {
	for _, kind := range []network.Kind{"", "redhat"} {
		if _, err := network.Convert(kind, nil); !errors.Is(err, network.ErrKind) {
			t.Errorf("kind %q: got error %v, want ErrKind", kind, err)
		}
	}
}

func TestEveryUnitIsForThisBootOnly(t *testing.T) {
	s, err := network.Convert(network.Debian, []byte("iface bond0 inet dhcp\nbond-slaves eth0\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range s.Units {
		if !u.Runtime || u.Command != "" || u.Enable {
			t.Errorf("unit %s is %+v, want a runtime unit without command", u.Name, u)
		}
	}
}

func FuzzConvert(f *testing.F) {
	for _, text := range []string{
		"auto eth0\niface eth0 inet static\naddress 10.0.0.2\nnetmask 255.255.255.0\ngateway 10.0.0.1\n",
		"iface eth0.7 inet dhcp\niface vlan8 inet manual\nvlan_raw_device eth0.7\n",
		"iface bond0 inet dhcp\nbond-slaves a \\\n b\nbond-mode 4\nbond-miimon 100\n",
		"iface a inet manual\nbond-master b\niface b inet manual\nbond-master a\n",
		`{"interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01"}],"addresses":[{"address":"10.0.0.2","cidr":31,"gateway":"10.0.0.1"}]}`,
		`{"interfaces":{"public":[{"mac":"02:00:00:00:00:01","ipv4":{"ip_address":"192.0.2.2","netmask":"255.255.255.0","gateway":"192.0.2.1"}}]}}`,
		`{"interface.0.name":"eth0","interface.0.ip.0.address":"10.0.0.7/24","dns.server.0":"8.8.8.8"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range network.Kinds() {
			s, err := network.Convert(kind, data)
			if err != nil {
				if e, ok := errors.AsType[*network.Error](err); !ok || e.Line < 0 || e.Line > strings.Count(string(data), "\n")+1 || strings.Contains(e.Error(), "\n") {
					t.Fatalf("%s: got error %#v for %q, want one line that names a line of the text", kind, err, data)
				}
				continue
			}
			for _, u := range s.Units {
				if strings.ContainsAny(u.Name, "/\n\x00") {
					t.Fatalf("%s: %q is no name of a unit; of %q", kind, u.Name, data)
				}
				for line := range strings.Lines(u.Content) {
					if line = strings.TrimSpace(line); line != "" && line[0] != '[' && !strings.Contains(line, "=") {
						t.Fatalf("%s: unit %s has the line %q; of %q", kind, u.Name, line, data)
					}
				}
			}
		}
	})
}
