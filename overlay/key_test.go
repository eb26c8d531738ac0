package overlay

import "testing"

// FuzzParseLeaseKey looks at the names of keys, which anybody may write.
func FuzzParseLeaseKey(f *testing.F) {
	for _, name := range []string{
		"10.1.76.0-24", "10.1.76.5-24", "10.1.46.0-24&fd00:1:0:2e::-64", "0.0.0.0-0&fd00::-64",
		"x10.1.76.0-24", "10.1.76.0-33", "10.1.76.0/24", "fd00::-64", "",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, err := parseLeaseKey(name)
		if err != nil {
			return
		}
		if back, err := parseLeaseKey(leaseKey(p)); err != nil || back != p || p != p.Masked() {
			t.Errorf("parseLeaseKey(%q) = %v, whose key reads as %v, %v", name, p, back, err)
		}
	})
}
