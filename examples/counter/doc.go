// Command counter replicates named registers, which hold numbers, over a few
// members. It is the smallest honest use of raftstore with a state machine of
// one's own: kept on disk, truncating its log, copied to members that lag.
//
//	go run ./examples/counter                 three members in this process
//	go run ./examples/counter serve --help    one member as a process of its own
//
// What it holds, from the bottom up:
//
//   - registers, the state machine (registers.go). It owes determinism in Apply,
//     its position stored together with its contents, and files that are whole
//     or absent after a crash (image.go).
//   - a seglog, the log on disk, and an httppeer, the way to the other members.
//     Both belong to the node from raftstore.Open on.
//   - a server on the member's peer URL, which hands all requests to the
//     httppeer. It runs before Open, since peers may call at once.
//   - a raftstore.Node (member.go). It is stopped before the program ends, and
//     the program ends when the node does: a member whose disk fails, or that was
//     removed from the cluster, stops by itself.
//
// The HTTP front (front.go) keeps the two promises that clients need: a read
// comes after a ReadBarrier, so it sees everything that was acknowledged
// before, and a failed write tells whether it may still happen.
//
//	curl -X POST 'localhost:8000/registers/visits?add=1'
//	curl -X PUT  'localhost:8000/registers/visits?value=10'
//	curl -X PUT  'localhost:8000/registers/visits?value=11&old=10'
//	curl         'localhost:8000/registers/visits'
//	curl         'localhost:8000/status'
//
// A member is added in three steps, and replaced by removing it first:
//
//	curl -X POST   'localhost:8000/members?name=d&url=http://10.0.0.4:2380'
//	counter serve --name d --dir /var/lib/d --peer-url http://10.0.0.4:2380 \
//	    --listen 10.0.0.4:8000 --join http://10.0.0.1:2380
//	curl -X POST   'localhost:8000/members/ID/promote'
//	curl -X DELETE 'localhost:8000/members/ID'
package main
