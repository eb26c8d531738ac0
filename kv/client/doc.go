// Package client is a [kv.Store] over the etcd v2 HTTP API, this project's
// server or the original's, with fail-over between members.
//
// You hold the URLs of some members; New makes a Client of them without any
// traffic. Requests go to one endpoint until it fails, then to the next, so a
// reader does not jump between members and back in time without need. A Client
// owns no goroutine between calls; Close releases idle connections.
//
// What a failure means for a write:
//
//   - a [*kv.Error] below code 300 and an [*UnavailableError]: it did not take
//     place, a retry is safe;
//   - anything that matches [kv.ErrOutcomeUnknown]: the request had gone out and
//     no verdict came back. The client does not try again by itself.
//
// Reads and watches are tried on all endpoints, and so are writes if
// Config.RepeatWrites asks for it.
//
// A watch is a series of long polls, each from the index after the last event,
// so none is missed across polls, lost connections and members. A poll that
// brings nothing is renewed from time to time, elsewhere if its member has lost
// its leader. A watch ends with its context, or with [kv.ErrHistoryCleared] when
// the server no longer has what came in between: only then is there a gap.
//
// Endpoints are given, found in DNS by [SRV], or told by the cluster:
// [Client.Sync] asks once, [Client.AutoSync] again and again. Members, users and
// roles are managed by methods of the Client, whose refusals are [*StatusError].
// Package migrate copies the key space of one cluster into another.
package client
