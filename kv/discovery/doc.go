// Package discovery lets the members of a cluster that does not exist yet find
// each other, by etcd's discovery protocol or in DNS, and serves the tokens of
// the former as discovery.etcd.io did.
//
// # Tokens
//
// A token is a directory in some other key space: its file _config/size says of
// how many members the cluster will be, and every other file in it is a member,
// in the order of their creation. You hold a [Token], from [Dial] for the URL
// that an operator was given, or made of any kv.Store. [Token.Join] registers a
// member and waits for the others; [Token.Wait] waits only, for proxies. Both
// return the cluster in the form of --initial-cluster. What you owe is to do so
// once in the life of a member: a token is used up by its members' first start.
//
//	join: GET size -> GET members: room? -> create own file -> see it
//	      -> GET members, watch for more until there are enough
//
// # Token service
//
// A [Server] makes tokens and passes on what members ask of them:
//
//	/new?size=3                       a new token's URL; any method
//	/TOKEN  /TOKEN/ID                 the key space under /_etcd/registry/TOKEN
//	/TOKEN/_config/size               likewise, to read
//	/health                           whether tokens can be made
//
// You owe it the kv.Store where tokens are made and an http.Handler that serves
// that store's /v2/keys: an API of kv/httpapi, or a reverse proxy.
//
// # DNS
//
// [SRV] reads the cluster from the records _etcd-server-ssl._tcp and
// _etcd-server._tcp of a domain.
package discovery
