// Package proxy passes requests of the v2 API on to the members of a cluster,
// so that machines without a member have an address of their own to talk to.
//
// You hold a [Proxy], from [New], which is an http.Handler, and you run its
// [Proxy.Run] beside it, which finds the members. What you owe it is the peer
// URLs of some of them; it remembers all it has learned of in Config.File.
//
//	Run: peers' /members -> peer URLs -> File
//	                     -> client URLs, shuffled -> endpoints
//	request -> body read whole -> endpoint, the next if that cannot be reached
//	        -> answer as it comes, watches included
//
// An endpoint that could not be reached rests for a while. A request that an
// endpoint may have seen goes to another one only if it is a read: who writes
// has to know whether to write again.
package proxy
