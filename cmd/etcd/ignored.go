package main

import (
	"maps"
	"slices"
	"strings"
)

// ignored are flags of the original's releases that change nothing here. They
// are accepted, so that units and files made for it go on working, and told of
// once. True marks those that take no value.
func ignored() map[string]bool {
	flags := make(map[string]bool)
	for _, name := range []string{
		// Of 0.4.
		"force", "f", "v", "vv", "vvv", "verbose", "very-verbose", "very-very-verbose", "snapshot", "strtrace",
		// Of 3.x: the v2 API is always served, and pre-votes are always cast.
		"enable-v2", "pre-vote", "initial-election-tick-advance", "enable-grpc-gateway", "enable-log-rotation",
		"socket-reuse-port", "socket-reuse-address", "unsafe-no-fsync",
	} {
		flags[name] = true
	}
	for _, name := range []string{
		// Of 0.4.
		"peers", "peers-file", "cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config",
		"max-cluster-size", "max-result-buffer", "max-retry-attempts", "retry-interval", "peer-heartbeat-interval",
		"peer-election-timeout", "http-read-timeout", "http-write-timeout", "graphite-host", "trace", "cpuprofile",
		// Of 2.x: there is one log and one state, and one level for all packages.
		"max-snapshots", "max-wals", "log-package-levels",
		// Of 3.x: what the v3 API and its engine need.
		"quota-backend-bytes", "backend-batch-interval", "backend-batch-limit", "backend-bbolt-freelist-type",
		"max-txn-ops", "max-concurrent-streams", "grpc-keepalive-min-time", "grpc-keepalive-interval",
		"grpc-keepalive-timeout", "auto-compaction-retention", "auto-compaction-mode", "host-whitelist", "auth-token",
		"auth-token-ttl", "bcrypt-cost", "metrics", "log-format", "log-rotation-config-json", "self-signed-cert-validity",
		"snapshot-catchup-entries", "v2-deprecation",
	} {
		flags[name] = false
	}
	return flags
}

// isIgnored looks a flag up, without dashes.
func isIgnored(name string) (is, bare bool) {
	if strings.HasPrefix(name, "experimental-") {
		return true, false
	}
	bare, is = ignored()[name]
	return is, bare
}

// dropIgnored takes the ignored flags out of the arguments, whose long flags
// begin with two dashes, and out of the variables. It returns what is left of
// the arguments and the names of what was dropped, in order.
func dropIgnored(args []string, env map[string]string) (rest, dropped []string) {
	seen := make(map[string]bool)
	for i := 0; i < len(args); i++ {
		name, _, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		is, bare := isIgnored(name)
		if !is || !strings.HasPrefix(args[i], "-") {
			rest = append(rest, args[i])
			continue
		}
		seen["--"+name] = true
		if !bare && !hasValue && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
		}
	}
	for v := range env {
		name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(v, "ETCD_")), "_", "-")
		if is, _ := isIgnored(name); is {
			seen[v] = true
			delete(env, v)
		}
	}
	return rest, slices.Sorted(maps.Keys(seen))
}
