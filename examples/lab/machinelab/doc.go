// Package machinelab boots whole machines with systemd on this one, for tests of
// what a machine does at boot and of what only an init system can show.
//
// What you hold: a [Machine], from [Boot]. It is a container with a systemd of
// its own as its first process, D-Bus and journal included. Its files are those
// of this machine, seen through an overlay: what it writes nobody else sees, and
// it is gone with it. Its network, which leads nowhere, and its control groups are
// its own, too.
//
// What you owe: root, Linux, the programs systemd-nspawn and dbus-daemon (Debian's
// packages systemd-container and dbus), and a call of [Machine.Close]. A test that
// ends without it leaves a directory and empty control groups behind, but no process
// and no mount.
package machinelab
