// Command etcd runs one member of a replicated key-value store and serves it
// under the v2 API.
//
//	etcd --name n1 --data-dir /var/lib/etcd \
//	  --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \
//	  --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls http://10.0.0.1:2379 \
//	  --initial-cluster n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380
//
// With --initial-cluster-state existing it joins a cluster to which it has been
// added. A member that is removed from its cluster ends with exit status 0.
//
// Every flag has an environment variable, ETCD_NAME for --name and so on; the
// flag wins. A single dash will do for a flag. The exit status is 0 after
// SIGTERM or SIGINT, 2 for a bad flag and 1 for everything else.
package main
