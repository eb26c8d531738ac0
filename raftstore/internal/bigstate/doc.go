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
// Two runs, on two shared processors with a disk that takes 1.2 GB/s, reached:
//
//	reopen          373 and 486 ms
//	checkpoint      16 and 19 ms; clients' p99 grows 3.5 and 4.1 times
//	join            293 and 263 MB/s, 20 and 25 % of the disk's rate; clients'
//	                p99 grows 5.7 and 5.3 times
//
// All members and clients are in one process and on one disk, so that each holds
// up the others more than it would elsewhere.
package bigstate
