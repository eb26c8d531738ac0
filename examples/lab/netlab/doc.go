// Package netlab makes networks of hosts on one machine, for tests that need
// real processes and a network that fails.
//
// What you hold: a [Network], from [New], and its hosts. A [Host] is a network
// namespace with one address: processes are started in it, and the caller's own
// connections are dialled from it. What travels from one host to another passes
// through the Network, which loses and delays what its [Link] says, in each
// direction by itself. That takes no netem, no nftables and no name that could
// stay behind: all of it is gone when the process is, however it ends.
//
// What you owe: root, Linux with /dev/net/tun, and a call of [Network.Close],
// which also kills the processes.
package netlab
