// Package clientv2test runs go.etcd.io/etcd/client/v2, the client that programs
// for the v2 API are written with, against this project's server, and, where it
// is installed, against the original's.
//
// It is a module of its own, so that nobody who imports the project inherits
// that client. Run it where it is:
//
//	cd kv/client/clientv2test && go test ./...
package clientv2test
