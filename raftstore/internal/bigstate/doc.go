// Package bigstate measures members whose state is 1 GiB, in 1 Mi values; it holds
// benchmarks only. The state is loaded anew for each run, by a process that is
// then killed. That takes half a minute and 4 GiB of disk below TMPDIR:
//
//	go test -run - -bench . ./raftstore/internal/bigstate
//
// What is reported, and what is asked for:
//
//	reopen          reopen-ms      < 1000   from a kill -9 in the middle of writing
//	                                        to a linearizable read
//	checkpoint      checkpoint-ms  < 200    beside 4 clients; the median
//	join            MB/s                    from the start of a new member until it
//	                                        has the state, beside 4 clients
//	                %-of-disk      >= 60    of a plain sequential write, before and
//	                                        after in the same run
//	                p99-ratio      < 3      of the clients' commands, during / before
//
// On two shared processors with a disk that takes 0.9 to 1.2 GB/s it reached:
//
//	reopen          256 ms
//	checkpoint      16 ms; clients' p99 grows 3.1 times, to 4.2 ms
//	join            294 and 318 MB/s, 32 and 28 % of the disk's rate; clients'
//	                p99 grows to 5.7 and 12.7 ms, from 1.0 and 0.6
//
// All members and clients are in one process and on one disk, so that each holds
// up the others more than it would elsewhere.
//
// What stands in the way of a join, by a profile of its 3.4 s: the receiver takes
// 1.7 s of processor time and the sender 1.5 s, on two processors that serve the
// clients besides. Three quarters of all that is the system's: it copies each byte
// four times, from the sender's file and to the connection, from there and to the
// receiver's file, while the disk's rate is measured with one such copy.
// Checksums, two on each side, take 0.4 s. A sync that covers 2 MiB goes on beside
// the copying; the next one waits for it. With larger ones a join is faster, and
// the clients' logs, which are synced on the same disk, wait longer: the two
// figures are each other's price, and httppeer.Config.SnapshotRate chooses.
package bigstate
