// Package api is fleet's HTTP API, version 1: a server over a registry, and its
// client.
//
// A [Server] is an http.Handler. It holds nothing but what it was given, so one
// can run on every machine; [Server.Serve] runs it on a listener with limits on
// headers and times. Whoever can reach it can run anything as root on every
// machine of the cluster: put it on a socket whose file mode says who may.
//
//	/fleet/v1/units                  GET
//	/fleet/v1/units/NAME             GET PUT DELETE
//	/fleet/v1/units/NAME/explain     GET, as text or JSON: what each machine has against the unit,
//	                                 as things are or as they would be ("if" in the query)
//	/fleet/v1/units/NAME/journal     GET, one JSON object a line: what the unit has written
//	/fleet/v1/state                  GET
//	/fleet/v1/state/NAME             GET
//	/fleet/v1/machines               GET PATCH
//	/fleet/v1/machines/ID/state      GET PUT: what a machine is open for, and what is on it
//	/fleet/v1/rebalance              GET POST: an order to move units that could stay
//	/fleet/v1/discovery              GET
//	/metrics                         GET, if ServerConfig.Metrics is given
//
// All of /fleet/v1 is also under /v1-alpha. Bodies, order of checks and error texts are
// fleet's, but for explain, journal, state and rebalance, which fleet did not have,
// and where fleet broke: states of unknown units are 404, state words and templates are checked
// on every write, and so are the options of a unit that is replaced.
//
// You hold a [Client] made by [NewClient] for a Unix socket or an HTTP URL, and
// owe it a Close.
package api
