package datasource

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/strakeproject/strake/cloudconfig"
)

// Waagent is the directory of the agent of Microsoft Azure, /var/lib/waagent on
// a machine. It is there once the agent has put its file "provisioned" in it.
func Waagent(dir string) Source { return waagent{dir} }

type waagent struct{ dir string }

func (waagent) Type() string { return "waagent" }

func (w waagent) Available(context.Context) error {
	_, err := os.Stat(filepath.Join(w.dir, "provisioned"))
	return err
}

func (w waagent) UserData(context.Context) ([]byte, error) {
	return readBelow(w.dir, "CustomData", maxUserData)
}

func (w waagent) Metadata(context.Context) (*Metadata, error) {
	const name = "SharedConfig.xml"
	data, err := readBelow(w.dir, name, maxMetadata)
	if err != nil {
		return nil, err
	}
	m := &Metadata{}
	if len(bytes.TrimSpace(data)) == 0 {
		return m, nil
	}
	if m.Addresses, err = readSharedConfig(data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// readSharedConfig finds the addresses of the instance that the agent runs on, in
// a list of all of the deployment.
func readSharedConfig(data []byte) (a cloudconfig.Addresses, err error) {
	var shared struct {
		Incarnation struct {
			Instance string `xml:"instance,attr"`
		}
		Instances []struct {
			ID        string `xml:"id,attr"`
			Address   string `xml:"address,attr"`
			Endpoints []struct {
				Public string `xml:"loadBalancedPublicAddress,attr"`
			} `xml:"InputEndpoints>Endpoint"`
		} `xml:"Instances>Instance"`
	}
	if err := xml.Unmarshal(data, &shared); err != nil {
		return a, err
	}
	for _, instance := range shared.Instances {
		if instance.ID != shared.Incarnation.Instance {
			continue
		}
		addr, err := parseAddr("address of instance "+instance.ID, instance.Address)
		if err != nil {
			return a, err
		}
		setPrivate(&a, addr)
		if len(instance.Endpoints) == 0 || instance.Endpoints[0].Public == "" {
			continue
		}
		host, _, err := net.SplitHostPort(instance.Endpoints[0].Public)
		if err != nil {
			return a, fmt.Errorf("loadBalancedPublicAddress of instance %s: %w", instance.ID, err)
		}
		if addr, err = parseAddr("loadBalancedPublicAddress of instance "+instance.ID, host); err != nil {
			return a, err
		}
		setPublic(&a, addr)
	}
	return a, nil
}
