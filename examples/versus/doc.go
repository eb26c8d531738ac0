// Command versus holds our server against the original, etcd 3.4 with its v2
// API: whether they answer alike, and how fast they are. Wherever the original
// is not on PATH, it says so and leaves it.
//
// # Alike
//
//	go test ./examples/versus
//	go test ./examples/versus -args -steps 1000000 -seed 42    for an hour or so
//
// Both run as processes, one member each, and are asked the same things one
// after the other: first the scripts in testdata, then random requests, watches
// among them. Status, headers and bodies have to be equal, byte for byte, but for
//
//   - what differs by nature: dates, ids, addresses, raft's own index and term, the
//     instant of an expiry (the TTL that goes with it has to fit), and the order of
//     a listing that was not asked to be sorted;
//   - the rules in rules_test.go, each a difference that is meant, with its reason.
//     A rule that never applies fails the test.
//
// A failure prints the request and both answers; of a random one, all requests
// since the last time that no watch was open.
//
// # Fast
//
//	go run ./examples/versus                                    three minutes
//	go run ./examples/versus --rounds 9 --duration 5s
//	go run ./examples/versus --only "put, 64" --members 3 --alone
//
// Both systems run at the same time, with the same flags, on loopback, and are
// loaded in turns; of all rounds the median counts. Connections are spread over
// the members. The load comes from a process of its own with a client that is
// little more than a socket, so server CPU is what the members alone have used,
// from /proc. Values have 256 bytes, keys are ten thousand. Watch is the time
// from sending a write at one member until a long poll at another has ended.
//
// # Large
//
//	go run ./examples/versus scale                              five minutes, 7 GB of disk
//	go run ./examples/versus scale --keys 1000000 --watchers 10000
//	go run ./examples/versus scale parked
//	go run ./examples/versus scale join --join-keys 10000000    half an hour, 3 GB
//
// Writes millions of keys into a key space on disk, opens, lists, copies and
// removes them, has a member join a cluster that holds many while writes go on,
// and has many watchers wait for one event, in process and with a connection each.
// Every part is a process of its own and tells what memory it took.
//
// README.md has what was measured.
package main
