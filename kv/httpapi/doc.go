// Package httpapi serves the etcd v2 HTTP API from a [kv.Store].
//
// You hold a Store and, unless it stands alone, a [Cluster] that knows the
// members behind it. You get an [API]: an http.Handler for the paths below, and
// [API.Serve] to run it on a listener with sane limits.
//
//	/v2/keys/...        HEAD GET PUT POST DELETE; ?wait=true watches
//	/v2/members         GET: the members; /v2/members/leader: the leader;
//	                    POST, PUT /ID, DELETE /ID change them
//	/v2/machines        GET HEAD: every client URL
//	/v2/auth/...        users, roles, enable; if Config.Auth is given
//	/v2/stats/...       store; self and leader, if Config.Activity is given
//	/version /health    GET
//	/metrics            GET, if Config.Metrics is given
//	/debug/vars         GET; /debug/pprof if Config.Profiler is given
//	/config/local/log   PUT: the log level, if Config.LogLevel is given
//
// Requests, answers, status codes, headers and the bytes of the JSON are those
// of etcd 3.4 with its v2 API on. A request walks one way: clean the path, check
// the method, decode parameters to a request (params.go), see whether it is
// allowed (auth.go), call the Store (keys.go, watch.go), encode the event
// (encode.go).
//
// [API.Serve] answers plain requests for keys in a loop of its own for each
// connection (front.go), which takes a fraction of net/http's processor time and
// memory. It knows a narrow part of HTTP/1.1 (parse.go). A connection that asks
// for more goes to net/http for good, with what has been read of it: other paths
// and methods, credentials, chunked or large bodies, whatever is odd or
// malformed. So do all connections with TLS, and all when Config.CORS is given.
// Both fronts answer alike, and hold the same limits.
//
// Keys below those that kv/auth has reserved for itself answer error 106, and
// their changes are never seen. Error 401, for a watch whose past is lost, comes
// with a header of our own, X-Etcd-Oldest-Index, the index from which on the
// past is kept.
//
// What /v2/stats tells: store, how often this API was asked for each operation
// and whether it was done, how many nodes have expired here, and how many
// watches this API serves now; self and leader, what Config.Activity has, which
// for a member of a cluster comes from the streams between members (see
// kv/httpapi/memberapi). Counts begin with the process.
//
// Two faults of the original are not repeated: a watch that can no longer be
// served without a gap ends with an empty or cut body instead of going silent,
// and a stream that begins in the past goes on after its first event. A TTL
// beyond two hundred years is capped instead of overflowing.
package httpapi
