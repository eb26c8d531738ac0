package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strakeproject/strake/cloudconfig/network"
)

// The addresses of platforms.
const (
	linkLocal      = "http://169.254.169.254/"
	configDriveDir = "/media/configdrive"
)

// oem is a platform with the flags that stand for it.
type oem struct {
	name string
	set  func(c *cli)
}

func oems() []oem {
	return []oem{
		{"azure", func(c *cli) { c.FromWaagent = "/var/lib/waagent" }},
		{"cloudsigma", func(c *cli) { c.FromCloudSigma = true }},
		{"digitalocean", func(c *cli) { c.FromDigitalOcean = linkLocal }},
		{"ec2-compat", func(c *cli) { c.FromEC2, c.FromConfigDrive = linkLocal, configDriveDir }},
		{"gce", func(c *cli) { c.FromGCE = "http://metadata.google.internal/" }},
		{"packet", func(c *cli) { c.FromPacket = "https://metadata.packet.net/" }},
		{"rackspace-onmetal", func(c *cli) { c.FromConfigDrive, c.ConvertNetconf = configDriveDir, string(network.Debian) }},
		{"vmware", func(c *cli) { c.FromGuestinfo, c.ConvertNetconf = true, string(network.VMware) }},
	}
}

func oemNames() []string {
	var names []string
	for _, o := range oems() {
		names = append(names, o.name)
	}
	return names
}

func kindNames() string {
	var names []string
	for _, k := range network.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// preset carries out -oem, which prevails over other flags, and checks what the
// flags mean together. It returns what is wrong.
func (c *cli) preset() string {
	if c.OEM != "" {
		all := oems()
		i := slices.IndexFunc(all, func(o oem) bool { return o.name == c.OEM })
		if i < 0 {
			return fmt.Sprintf("Invalid option to -oem: %q. Supported options: %q", c.OEM, oemNames())
		}
		all[i].set(c)
	}
	if c.FromMetadata && c.FromEC2 == "" {
		c.FromEC2 = linkLocal
	}
	if c.ConvertNetconf != "" && !slices.Contains(network.Kinds(), network.Kind(c.ConvertNetconf)) {
		return fmt.Sprintf("Invalid option to -convert-netconf: '%s'. Supported options: '%s'", c.ConvertNetconf, kindNames())
	}
	if c.RenderCluster != 0 {
		if c.FromFile == "" || c.RenderCluster < 0 {
			return "-render-cluster wants a number of machines and a template in -from-file"
		}
		return ""
	}
	if !c.hasSource() {
		return "Provide at least one of --from-file, --from-configdrive, --from-ec2-metadata, --from-gce-metadata, " +
			"--from-cloudsigma-metadata, --from-packet-metadata, --from-digitalocean-metadata, --from-vmware-guestinfo, " +
			"--from-waagent, --from-url or --from-proc-cmdline"
	}
	return ""
}

func (c *cli) hasSource() bool {
	return c.FromCloudSigma || c.FromProcCmdline || c.FromGuestinfo || slices.ContainsFunc([]string{
		c.FromFile, c.FromURL, c.FromConfigDrive, c.FromWaagent, c.FromEC2, c.FromGCE, c.FromDigitalOcean, c.FromPacket, c.FromOVFEnv,
	}, func(s string) bool { return s != "" })
}
