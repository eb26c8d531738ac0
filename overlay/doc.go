// Package overlay gives every host of a cluster its own subnet of one network,
// and keeps each host informed of the others' subnets.
//
// The subnets are leased in a key space that all hosts share, in flanneld's
// keys and values, so that hosts of either kind can join the same network:
//
//	/coreos.com/network/config                the network: see ParseConfig
//	/coreos.com/network/subnets/10.1.76.0-24  one host's lease: see Attributes
//
// A [Registry] is that table: it acquires, renews and releases leases and
// watches them. Every write is conditional on what was read, so that no host
// can take another one's subnet unnoticed. A lease without TTL is a
// reservation, made by an operator, and stays one.
//
// A [Network] is one host's part in it. You give it a Registry, the host's
// address and a [Backend], the data plane, and call [Network.Run]. It waits for
// a config, acquires a lease, has the backend set up its device, writes the
// file from which the container runtime learns its subnet, tells the backend
// which peers come, change and go, and keeps the lease. When its lease
// disappears it takes the same subnet again while traffic goes on.
//
// [Alloc] is the backend that only leases, for networks that route by other means.
// One that moves packets is yours to bring.
//
// What you owe: end Run by its context; leave the subnet file alone; and use
// one machine id per machine.
package overlay
