package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/strakeproject/strake/cloudconfig/configdrive"
	"github.com/strakeproject/strake/cloudconfig/datasource"
)

// source waits for one of the sources that the flags name. What it needs of
// temporary files goes below dir.
func (p *program) source(ctx context.Context, dir string) (datasource.Source, error) {
	sources, err := p.sources(dir)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		p.log.Info(fmt.Sprintf("Checking availability of %q", s.Type()))
	}
	s, err := datasource.Select(ctx, sources, datasource.Options{Timeout: p.Timeout})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", noSource, err)
	}
	return s, nil
}

// sources are all that the flags name, those that need no network first.
func (p *program) sources(dir string) ([]datasource.Source, error) {
	client := datasource.NewClient(datasource.ClientOptions{Logger: p.log})
	var list []datasource.Source
	add := func(given bool, make func() datasource.Source) {
		if given {
			list = append(list, make())
		}
	}
	add(p.FromFile != "", func() datasource.Source { return datasource.File(p.FromFile) })
	if p.FromConfigDrive != "" {
		drive, err := mounted(p.FromConfigDrive, dir)
		if err != nil {
			return nil, err
		}
		list = append(list, datasource.ConfigDrive(drive))
	}
	add(p.FromWaagent != "", func() datasource.Source { return datasource.Waagent(p.FromWaagent) })
	add(p.FromOVFEnv != "", func() datasource.Source { return datasource.OVF(client, p.FromOVFEnv) })
	add(p.FromGuestinfo, func() datasource.Source { return datasource.VMware(client, datasource.VMwareOptions{}) })
	add(p.FromCloudSigma, func() datasource.Source { return datasource.CloudSigma(datasource.CloudSigmaOptions{}) })
	add(p.FromEC2 != "", func() datasource.Source { return datasource.EC2(client, p.FromEC2) })
	add(p.FromGCE != "", func() datasource.Source { return datasource.GCE(client, p.FromGCE) })
	add(p.FromDigitalOcean != "", func() datasource.Source { return datasource.DigitalOcean(client, p.FromDigitalOcean) })
	add(p.FromPacket != "", func() datasource.Source { return datasource.Packet(client, p.FromPacket) })
	add(p.FromURL != "", func() datasource.Source { return datasource.URL(client, p.FromURL) })
	add(p.FromProcCmdline, func() datasource.Source { return datasource.ProcCmdline(client, "") })
	return list, nil
}

// mounted returns the directory of a config drive. An image is unpacked below dir.
func mounted(path, dir string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return path, nil
	}
	image, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer image.Close()
	files, err := configdrive.ReadImage(image)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	drive := filepath.Join(dir, "configdrive")
	return drive, files.WriteDir(drive)
}

// configName is the name that what a source makes is recorded under.
func (p *program) configName(s datasource.Source) string {
	switch {
	case p.Name != "":
		return p.Name
	case s.Type() == "local-file" && strings.HasPrefix(filepath.Clean(p.FromFile), "/usr/share/oem/"):
		return "oem"
	}
	return s.Type()
}
