package agent

import (
	"testing"

	"github.com/strakeproject/strake/schedule/registry"
)

func TestAServiceIsToldItsPorts(t *testing.T) {
	u := testUnit(t, "web@1.service", registry.Launched, map[string]string{"on": "m1", "Ports": "dynamic:2"})
	u.Ports = []uint16{8000, 8003}
	here := desired(registry.Machine{ID: "m1"}, []registry.Unit{u})
	if len(here) != 1 {
		t.Fatalf("got %d units, want 1", len(here))
	}
	const want = "[Service]\nExecStart=/bin/true\nEnvironment=PORT0=8000\nEnvironment=PORT1=8003\n\n[X-Fleet]\nPorts=dynamic:2\n"
	if got := here[0].File.String(); got != want {
		t.Errorf("file: got\n%s\nwant\n%s", got, want)
	}
	if here[0].Hash == u.Hash || here[0].Hash != here[0].File.Hash() {
		t.Errorf("hash: got %s, before %s", here[0].Hash, u.Hash)
	}
}
