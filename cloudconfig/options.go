package cloudconfig

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// service is the list of options that one service has in a cloud-config.
type service struct {
	prefix  string // of the variables
	options []option
	// report looks at an option beyond what its own entry says; nil if there
	// is nothing to look at.
	report func(d *decoder, at place)
}

// option is one row of a service's list. The order of rows is that of the
// lines in the service's drop-in.
type option struct {
	key  string
	kind kind
	// name of the variable; empty means prefix + upper-case key.
	name       string
	valid      *regexp.Regexp
	deprecated string
}

// kind is the type of an option.
type kind int

const (
	str kind = iota
	num
	float
	boolean
)

// section reads a service's options into env.
func (s service) section(env *Environment) target {
	values := make([]string, len(s.options))
	fields := make([]field, len(s.options))
	for i, o := range s.options {
		fields[i] = o.field(&values[i])
	}
	inner := section(fields)
	return target{want: inner.want, take: func(d *decoder, at place) bool {
		if !inner.take(d, at) {
			return false
		}
		if s.report != nil {
			s.report(d, at)
		}
		*env = nil
		for i, o := range s.options {
			if values[i] != "" {
				*env = append(*env, Variable{Name: o.variable(s.prefix), Value: values[i]})
			}
		}
		return true
	}}
}

func (o option) field(to *string) field {
	f := field{key: o.key, deprecated: o.deprecated, valid: o.valid}
	switch o.kind {
	case num:
		f.to = integerText(to)
	case float:
		f.to = floatText(to)
	case boolean:
		f.to = flagText(to)
	default:
		f.to, f.check = text(to), checkOneLine
	}
	return f
}

func (o option) variable(prefix string) string {
	if o.name != "" {
		return o.name
	}
	return prefix + strings.ToUpper(o.key)
}

// reportDiscovery warns of a discovery address that etcd could not use.
func reportDiscovery(d *decoder, at place) {
	for _, p := range d.pairs(at.value) {
		value := follow(p.value)
		if follow(p.key).Value != "discovery" || value.Kind != yaml.ScalarNode {
			continue
		}
		if s, err := readScalar(value); err == nil && !discoveryOK(s.text) {
			d.note(ruleDiscovery, SeverityWarning, place{line: p.key.Line, column: p.key.Column}, "discovery URL is not valid")
		}
	}
}

// etcd is etcd before 2.0 and the variables that both generations share.
var etcd = service{prefix: "ETCD_", report: reportDiscovery, options: []option{
	{key: "addr"},
	{key: "advertise_client_urls"},
	{key: "bind_addr"},
	{key: "ca_file"},
	{key: "cert_file"},
	{key: "cluster_active_size", kind: num},
	{key: "cluster_remove_delay", kind: float},
	{key: "cluster_sync_interval", kind: float},
	{key: "cors"},
	{key: "data_dir"},
	{key: "discovery"},
	{key: "discovery_fallback"},
	{key: "discovery_srv"},
	{key: "discovery_proxy"},
	{key: "election_timeout", kind: num},
	{key: "force_new_cluster", kind: boolean},
	{key: "graphite_host"},
	{key: "heartbeat_interval", kind: num},
	{key: "http_read_timeout", kind: float},
	{key: "http_write_timeout", kind: float},
	{key: "initial_advertise_peer_urls"},
	{key: "initial_cluster"},
	{key: "initial_cluster_state"},
	{key: "initial_cluster_token"},
	{key: "key_file"},
	{key: "listen_client_urls"},
	{key: "listen_peer_urls"},
	{key: "max_result_buffer", kind: num},
	{key: "max_retry_attempts", kind: num},
	{key: "max_snapshots", kind: num},
	{key: "max_wals", kind: num},
	{key: "name"},
	{key: "peer_addr"},
	{key: "peer_bind_addr"},
	{key: "peer_ca_file"},
	{key: "peer_cert_file"},
	{key: "peer_election_timeout", kind: num},
	{key: "peer_heartbeat_interval", kind: num},
	{key: "peer_key_file"},
	{key: "peers"},
	{key: "peers_file"},
	{key: "proxy"},
	{key: "retry_interval", kind: float},
	{key: "snapshot", kind: boolean},
	{key: "snapshot_count", kind: num, name: "ETCD_SNAPSHOTCOUNT"},
	{key: "trace"},
	{key: "verbose", kind: boolean},
	{key: "very_verbose", kind: boolean},
	{key: "very_very_verbose", kind: boolean},
}}

// etcd2 is etcd since 2.0.
var etcd2 = service{prefix: "ETCD_", options: []option{
	{key: "advertise_client_urls"},
	{key: "ca_file", deprecated: "ca_file obsoleted by trusted_ca_file and client_cert_auth"},
	{key: "cert_file"},
	{key: "client_cert_auth", kind: boolean},
	{key: "cors"},
	{key: "data_dir"},
	{key: "debug", kind: boolean},
	{key: "discovery"},
	{key: "discovery_fallback"},
	{key: "discovery_srv"},
	{key: "discovery_proxy"},
	{key: "election_timeout", kind: num},
	{key: "enable_pprof", kind: boolean},
	{key: "force_new_cluster", kind: boolean},
	{key: "heartbeat_interval", kind: num},
	{key: "initial_advertise_peer_urls"},
	{key: "initial_cluster"},
	{key: "initial_cluster_state"},
	{key: "initial_cluster_token"},
	{key: "key_file"},
	{key: "listen_client_urls"},
	{key: "listen_peer_urls"},
	{key: "log_package_levels"},
	{key: "max_snapshots", kind: num},
	{key: "max_wals", kind: num},
	{key: "name"},
	{key: "peer_ca_file", deprecated: "peer_ca_file obsoleted peer_trusted_ca_file and peer_client_cert_auth"},
	{key: "peer_cert_file"},
	{key: "peer_key_file"},
	{key: "peer_client_cert_auth", kind: boolean},
	{key: "peer_trusted_ca_file"},
	{key: "proxy", valid: regexp.MustCompile(`^(on|off|readonly)$`)},
	{key: "proxy_dial_timeout", kind: num},
	{key: "proxy_failure_wait", kind: num},
	{key: "proxy_read_timeout", kind: num},
	{key: "proxy_refresh_interval", kind: num},
	{key: "proxy_write_timeout", kind: num},
	{key: "snapshot_count", kind: num},
	{key: "strict_reconfig_check", kind: boolean},
	{key: "trusted_ca_file"},
	{key: "wal_dir"},
}}

var fleet = service{prefix: "FLEET_", options: []option{
	{key: "agent_ttl"},
	{key: "authorized_keys_file"},
	{key: "disable_engine", kind: boolean},
	{key: "engine_reconcile_interval", kind: float},
	{key: "etcd_cafile"},
	{key: "etcd_certfile"},
	{key: "etcd_keyfile"},
	{key: "etcd_key_prefix"},
	{key: "etcd_request_timeout", kind: float},
	{key: "etcd_servers"},
	{key: "etcd_username"},
	{key: "etcd_password"},
	{key: "metadata"},
	{key: "public_ip"},
	{key: "token_limit", kind: num},
	{key: "verbosity", kind: num},
	{key: "verify_units", kind: boolean},
}}

var flannel = service{prefix: "FLANNELD_", options: []option{
	{key: "etcd_endpoints"},
	{key: "etcd_cafile"},
	{key: "etcd_certfile"},
	{key: "etcd_keyfile"},
	{key: "etcd_prefix"},
	{key: "etcd_username"},
	{key: "etcd_password"},
	{key: "ip_masq"},
	{key: "subnet_file"},
	{key: "interface", name: "FLANNELD_IFACE"},
	{key: "public_ip"},
}}

// locksmith's window goes by the names that the daemon shares with update.conf.
var locksmith = service{prefix: "LOCKSMITHD_", options: []option{
	{key: "endpoint"},
	{key: "etcd_cafile"},
	{key: "etcd_certfile"},
	{key: "etcd_keyfile"},
	{key: "etcd_username"},
	{key: "etcd_password"},
	{key: "group"},
	{
		key: "window_start", name: "REBOOT_WINDOW_START",
		valid: regexp.MustCompile(`^((?i:sun|mon|tue|wed|thu|fri|sat) )?0*([0-9]|1[0-9]|2[0-3]):0*([0-9]|[1-5][0-9])$`),
	},
	{
		key: "window_length", name: "REBOOT_WINDOW_LENGTH",
		valid: regexp.MustCompile(`^[-+]?([0-9]*(\.[0-9]*)?[a-z]+)+$`),
	},
}}
