package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestTheProgramValidatesMakesDrivesAndApplies(t *testing.T) {
	const want = `== validate
line 2: warning: unrecognized key "hostnme" (did you mean "hostname"?)
line 5: error: invalid value sometimes
line 8: error: invalid value launch
nothing to remark
== three drives
core1.iso
core2.iso
core3.iso
== apply
Writing file to "/etc/hostname"
Writing file to "/etc/motd"
Writing drop-in unit "20-cloudinit.conf" to filesystem
Writing drop-in unit "20-cloudinit.conf" to filesystem
== apply again
nothing to do
`
	dir := t.TempDir()
	var out bytes.Buffer
	if err := run(t.Context(), dir, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	motd, err := os.ReadFile(filepath.Join(dir, "root/etc/motd"))
	if want := "This is core1.\n"; err != nil || string(motd) != want {
		t.Errorf("/etc/motd holds %q (%v), want %q", motd, err, want)
	}
}
