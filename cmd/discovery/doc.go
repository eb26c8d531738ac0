// Command discovery serves the tokens with which the members of a new cluster
// find each other, as discovery.etcd.io did.
//
//	discovery --data-dir /var/lib/discovery --host https://discovery.example.com
//	curl https://discovery.example.com/new?size=3
//	etcd --discovery https://discovery.example.com/TOKEN ...
//
// With --data-dir tokens are kept in a store of the program's own, else in the
// cluster at --etcd. TLS and limits on who makes how many tokens are left to
// whatever stands before it. Flags have the original's variables, DISC_ADDR,
// DISC_HOST and DISC_ETCD, and DISC_DATA_DIR; a flag wins.
//
// The exit status is 0 after SIGTERM or SIGINT, 2 for a bad flag and 1 for
// everything else.
package main
