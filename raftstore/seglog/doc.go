// Package seglog keeps a raft log in append-only segment files. An Append is one
// write and, with sync, one fdatasync, in the caller's goroutine: no other
// goroutine takes part, and nothing is allocated but room for where the entries
// are, 12 bytes each.
//
// A group of the log is one record, whole or not there, with a checksum that
// chains it to the record before and to its segment. Each record also tells how
// much of the segment was on disk when it was written. By that Open tells what a
// crash has torn, which it cuts off, from damage to what was on disk, which it
// refuses with raftstore.ErrCorrupt, naming file and offset. Only of the last
// group of a log that was not closed nothing can tell. Each entry has a checksum
// of its own, which is looked at whenever it is read.
//
// Files are 16 MiB. They grow in steps, so that a small log is small and starts
// at once; one whose entries are trimmed is written over, which costs less than
// a new one. Two wait for that. The header of each has what the log was when it
// was begun, so that the ones before can go.
//
// You owe what raftstore.LogStore says: Append from one goroutine, and Close. An
// error of the disk is final.
//
// Against pebblelog, in four runs on two processors that had ten times the work
// they can do, so that only the processor time counts; a bare pwrite and
// fdatasync took 58 to 98 us of it then:
//
//	go test -run - -bench Append -benchtime 1000x -count 4 ./raftstore/seglog
//
//	synced Append            seglog                    pebblelog
//	of 1 x 300 B, new        62-85 us cpu, 0 allocs    88-100 us cpu, 0 allocs
//	of 1 x 300 B, files used 46-67 us cpu, 0 allocs    54-73 us cpu, 0 allocs
//	of 16 x 4 KiB, new       163-214 us cpu, 0 allocs  260-311 us cpu, 12 allocs
//	of 16 x 4 KiB, used      86-125 us cpu, 0 allocs   232-246 us cpu, 16 allocs
//
// Open reads 1.3 GB/s.
package seglog
