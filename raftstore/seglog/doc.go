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
// Against pebblelog, two runs on two shared processors:
//
//	go test -run - -bench Append -benchtime 2000x -count 2 ./raftstore/seglog
//
//	synced Append            seglog                 pebblelog
//	of 1 x 300 B, new        96-98 us, 46-51 cpu    156-165 us, 91-98 cpu
//	of 1 x 300 B, used       88-89 us, 43-44 cpu    96-116 us, 54-62 cpu
//	of 16 x 4 KiB, new       141-177 us, 74-113 cpu 228-242 us, 191-224 cpu, 12 allocs
//	of 16 x 4 KiB, used      121 us, 56-58 cpu      165-174 us, 175 cpu, 14 allocs
//
// "used" is with files that are written over. Most of what is left is the write
// and the sync themselves.
//
// Open reads 1.3 GB/s.
package seglog
