// Command etcd runs one member of a replicated key-value store and serves it
// under the v2 API, or a proxy of such a store.
//
//	etcd --name n1 --data-dir /var/lib/etcd \
//	  --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \
//	  --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls http://10.0.0.1:2379 \
//	  --initial-cluster n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380
//
// Instead of --initial-cluster, --discovery names a token that gathers the
// members, and --discovery-srv a domain whose records name them. With
// --initial-cluster-state existing it joins a cluster to which it has been added.
// All that counts for a member without data alone.
//
// What the data directory holds decides what this is: member/ a member, proxy/ a
// proxy. Only where there is neither do --proxy, and a token whose cluster is
// full, make it a proxy.
//
// Every flag has an environment variable, ETCD_NAME for --name and so on, and may
// stand in the YAML file of --config-file; a flag wins over a variable, and that
// over the file. A single dash will do for a flag. Flags of the original that
// have no meaning here are accepted and named once in the log. Systemd is told
// when the member is part of its cluster.
//
// The exit status is 0 after SIGTERM or SIGINT and for a member that was removed
// from its cluster, 2 for a bad flag and 1 for everything else. A leader that is
// stopped hands over first.
package main
