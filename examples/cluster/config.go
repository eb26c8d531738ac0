package main

import (
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"strings"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/unit"
)

//go:embed cloud-config.yaml units
var builtin embed.FS

// config is the cluster to run: machines and units.
type config struct {
	machines []machineConfig
	units    []unit.Unit // templates included, ordered by name
}

// machineConfig is one machine: who it is, and its own cloud-config.
type machineConfig struct {
	name string
	ip   netip.Addr
	*cloudconfig.Config
}

// The machines, core-1 at .11 and so on. The first three are in the cloud-
// config's initial-cluster.
var metadata = []string{
	"zone=a,disk=hdd", "zone=b,disk=hdd", "zone=c,disk=hdd",
	"zone=a,disk=ssd", "zone=b,disk=ssd", "zone=c,disk=hdd",
}

// loadConfig reads the cloud-config template and the unit files of dir, or the
// built-in ones if dir is empty.
func loadConfig(dir, net string) (config, error) {
	files := fs.FS(builtin)
	if dir != "" {
		files = os.DirFS(dir)
	}
	var c config
	template, err := fs.ReadFile(files, "cloud-config.yaml")
	if err != nil {
		return c, err
	}
	for i, md := range metadata {
		m := machineConfig{name: fmt.Sprintf("core-%d", i+1)}
		if m.ip, err = netip.ParseAddr(fmt.Sprintf("%s.%d", net, 11+i)); err != nil || !m.ip.IsLoopback() {
			return c, fmt.Errorf("--net=%s: want the first three bytes of a loopback network, like 127.0.0", net)
		}
		text := strings.NewReplacer("<HOSTNAME>", m.name, "<IP>", m.ip.String(), "<NET>", net, "<METADATA>", md).Replace(string(template))
		if m.Config, err = cloudconfig.Parse([]byte(text)); err != nil {
			return c, fmt.Errorf("%s: %w", path.Join(dir, "cloud-config.yaml"), err)
		}
		c.machines = append(c.machines, m)
	}
	c.units, err = loadUnits(files, dir)
	return c, err
}

func loadUnits(files fs.FS, dir string) ([]unit.Unit, error) {
	entries, err := fs.ReadDir(files, "units")
	if err != nil {
		return nil, err
	}
	var units []unit.Unit
	for _, e := range entries {
		file := path.Join("units", e.Name())
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return nil, err
		}
		u, err := parseUnit(e.Name(), text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Join(dir, file), err)
		}
		units = append(units, u)
	}
	return units, nil
}

func parseUnit(name string, text []byte) (unit.Unit, error) {
	if err := unit.CheckName(name); err != nil {
		return unit.Unit{}, err
	}
	f, err := unit.Parse(text)
	if err != nil {
		return unit.Unit{}, err
	}
	if _, _, err := unit.ParseOptions(name, f); err != nil {
		return unit.Unit{}, err
	}
	return unit.Unit{Name: name, File: f}, nil
}

// option returns a service option of the machine's cloud-config.
func option(env cloudconfig.Environment, name, fallback string) string {
	if v := env.Lookup(name); v != "" {
		return v
	}
	return fallback
}

// pairs reads "k=v,k=v".
func pairs(list string) map[string]string {
	m := make(map[string]string)
	for kv := range strings.SplitSeq(list, ",") {
		if k, v, ok := strings.Cut(strings.TrimSpace(kv), "="); ok {
			m[k] = v
		}
	}
	return m
}

// setting is a key that a machine sets at boot.
type setting struct{ key, value string }

// flannelSets returns what the drop-ins of flanneld.service have etcdctl set
// before flanneld starts. There is no etcdctl here, so the machine does it.
func flannelSets(units []cloudconfig.Unit) ([]setting, error) {
	var sets []setting
	for _, u := range units {
		for _, d := range u.DropIns {
			if u.Name != "flanneld.service" {
				continue
			}
			f, err := unit.Parse([]byte(d.Content))
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", d.Name, u.Name, err)
			}
			for _, cmd := range f.Values("Service", "ExecStartPre") {
				words := strings.SplitN(strings.Join(strings.Fields(strings.ReplaceAll(cmd, "\\\n", " ")), " "), " ", 4)
				if len(words) == 4 && path.Base(words[0]) == "etcdctl" && words[1] == "set" {
					sets = append(sets, setting{words[2], strings.Trim(words[3], "'")})
				}
			}
		}
	}
	return sets, nil
}

// machineID reads a machine's id, or draws one and keeps it.
func machineID(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", err
	}
	id := hex.EncodeToString(raw[:])
	return id, os.WriteFile(file, []byte(id+"\n"), 0o644)
}
