// Package httpapi serves the etcd v2 HTTP API from a [kv.Store].
//
// You hold a Store and, unless it stands alone, a [Cluster] that knows the
// members behind it. You get an [API]: an http.Handler for the paths below, and
// [API.Serve] to run it on a listener with sane limits.
//
//	/v2/keys/...        HEAD GET PUT POST DELETE; ?wait=true watches
//	/v2/members         GET: the members; /v2/members/leader: the leader
//	/v2/machines        GET HEAD: every client URL
//	/version /health    GET
//	/metrics            GET, if Config.Metrics is given
//
// Requests, answers, status codes, headers and the bytes of the JSON are those
// of etcd 3.4 with its v2 API on. A request walks one way: clean the path, check
// the method, decode parameters to a request (params.go), call the Store
// (keys.go, watch.go), encode the event (encode.go).
//
// Two faults of the original are not repeated: a watch that can no longer be
// served without a gap ends with an empty or cut body instead of going silent,
// and a stream that begins in the past goes on after its first event. A TTL
// beyond two hundred years is capped instead of overflowing.
package httpapi
