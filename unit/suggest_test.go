package unit_test

import (
	"strings"
	"testing"

	"github.com/strakeproject/strake/unit"
)

func TestTheWordThatWasMeantIsTheNearest(t *testing.T) {
	known := []string{"MachineOf", "MachineID", "MachineMetadata", "Global", "id"}
	for word, want := range map[string]string{
		"MachinOf":                 "MachineOf",
		"MachineFo":                "MachineOf", // swapped
		"machineid":                "MachineID",
		"Machine":                  "MachineOf", // the first of two
		"Metadata":                 "",
		"Gobla":                    "",
		"ip":                       "id",
		"":                         "",
		"x":                        "",
		strings.Repeat("x", 1<<20): "",
	} {
		if got := unit.Suggest(word, known); got != want {
			t.Errorf("%.20q: got %q, want %q", word, got, want)
		}
	}
}
