package cloudconfig_test

import (
	"strings"
	"testing"

	"github.com/strakeproject/strake/cloudconfig"
)

// Texts that are made to take long or much. That each is read at all is the
// test: without bounds it would not end.
func TestTextsMadeToBeHardAreRead(t *testing.T) {
	const many = 1 << 15
	for name, text := range map[string]string{
		"open lists":    "a: " + strings.Repeat("[", many),
		"lists":         "a: " + strings.Repeat("[", many) + strings.Repeat("]", many),
		"mappings":      strings.Repeat("{a: ", many),
		"nested items":  strings.Repeat("- ", many),
		"unknown keys":  strings.Repeat("hostnam:\n", many),
		"aliases":       "a: [&a x" + strings.Repeat(", *a", many) + "]",
		"merge keys":    "a: &a {b: c}\nusers: [" + strings.Repeat("{<<: *a}, ", many/4) + "]",
		"variables":     strings.Repeat("$", many),
		"quoted breaks": `a: "` + strings.Repeat(`\n`, many) + `"`,
		"other breaks":  strings.Repeat("\u2028", many),
	} {
		data := []byte("#cloud-config\n" + text + "\n")
		_, err := cloudconfig.Read(data, cloudconfig.Addresses{})
		if report := cloudconfig.Validate(data); err != nil && len(report) == 0 {
			t.Errorf("%s: refused (%v), yet there is nothing to report", name, err)
		}
	}
}
