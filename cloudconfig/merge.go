package cloudconfig

import (
	"cmp"
	"slices"
)

// Merge makes one Config of several: lists are joined in the order given, and of
// all else the first that says something wins, for each variable of a service
// by itself. So user-data stands before meta-data, and the first part of a
// multipart text that names the host names it. Nil Configs are skipped; the
// given ones are not changed.
func Merge(configs ...*Config) *Config {
	m := &Config{}
	for _, c := range configs {
		if c == nil {
			continue
		}
		m.Hostname = cmp.Or(m.Hostname, c.Hostname)
		m.SSHAuthorizedKeys = slices.Concat(m.SSHAuthorizedKeys, c.SSHAuthorizedKeys)
		m.Users = slices.Concat(m.Users, c.Users)
		m.WriteFiles = slices.Concat(m.WriteFiles, c.WriteFiles)
		m.ManageEtcHosts = cmp.Or(m.ManageEtcHosts, c.ManageEtcHosts)
		m.CoreOS.merge(c.CoreOS)
	}
	return m
}

func (m *CoreOS) merge(c CoreOS) {
	m.Etcd = etcd.merge(m.Etcd, c.Etcd)
	m.Etcd2 = etcd2.merge(m.Etcd2, c.Etcd2)
	m.Fleet = fleet.merge(m.Fleet, c.Fleet)
	m.Flannel = flannel.merge(m.Flannel, c.Flannel)
	m.Locksmith = locksmith.merge(m.Locksmith, c.Locksmith)
	m.Update.RebootStrategy = cmp.Or(m.Update.RebootStrategy, c.Update.RebootStrategy)
	m.Update.Group = cmp.Or(m.Update.Group, c.Update.Group)
	m.Update.Server = cmp.Or(m.Update.Server, c.Update.Server)
	if m.OEM.ID == "" { // a description of one platform, not of two
		m.OEM = c.OEM
	}
	m.Units = slices.Concat(m.Units, c.Units)
}

// merge joins the variables of two sections, those of a first, and keeps them
// in the service's order.
func (s service) merge(a, b Environment) Environment {
	var merged Environment
	for _, o := range s.options {
		name := o.variable(s.prefix)
		if value := cmp.Or(a.Lookup(name), b.Lookup(name)); value != "" {
			merged = append(merged, Variable{Name: name, Value: value})
		}
	}
	return merged
}
