// Package systemd lets a cloud-config act on the systemd of the machine that
// runs, over D-Bus.
//
// What you hold: a [Manager], from [Dial], which is the Units of a
// cloudconfig.Machine. What you owe: a call of [Manager.Close], and a caller
// whom systemd obeys, mostly root.
package systemd
