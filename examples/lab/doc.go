// Package lab holds the tests that need whole machines: real processes, each on
// a host of its own, and networks and disks that fail.
//
// The tests of this folder run examples/counter as a cluster and break what can
// break: links, in one direction or both, processes, disks, and the membership
// itself. Clients go on meanwhile, and the history of what they were told must
// be one that a single machine could have produced.
//
// Those that begin with TheKeySpace do so with three members of cmd/etcd and
// kv/client over HTTP, fill their disks up, and judge watchers besides, who must
// all have seen the same: everything, in order, once. No key with a time to live
// may go before its time.
//
//	go test ./examples/lab                                a minute
//	go test ./examples/lab -lab.long=10m -timeout 0       each scenario as long as you like
//	go test ./examples/lab -lab.seed=7                    the choices of another run
//	go test ./examples/lab -artifacts -outputdir /tmp     keep histories and logs of failures
//
// They need root, and skip without. What they break with is netlab and disklab.
// With -race the members are built with the race detector, too.
//
// What only an init system shows is tested in machinelab, which boots whole
// machines.
package lab
