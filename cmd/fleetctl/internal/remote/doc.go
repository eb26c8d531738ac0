// Package remote reaches machines over SSH: to run commands on them, and to carry
// connections through them. Keys come from an SSH agent alone, and hosts are
// known by a file of its own in OpenSSH's format, [KnownHosts], as fleetctl has
// always done it.
//
// You hold a [Client] made by [Dial] and owe it a Close.
package remote
