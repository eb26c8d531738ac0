package datasource

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Vmtoolsd asks the hypervisor through the program of the VMware Tools.
type Vmtoolsd struct {
	// Path is the program, vmtoolsd on the search path by default.
	Path string
}

// Get implements GuestInfo.
func (v Vmtoolsd) Get(ctx context.Context, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stdout, stderr := &limited{left: maxUserData}, &limited{left: 4 << 10}
	cmd := exec.CommandContext(ctx, cmp.Or(v.Path, "vmtoolsd"), "--cmd", "info-get "+key)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = time.Second // for what it may have started itself
	err := cmd.Run()
	text := strings.TrimSuffix(stdout.String(), "\n")
	if err == nil {
		return text, nil
	}
	said := strings.TrimSpace(text + " " + stderr.String())
	if _, ok := errors.AsType[*exec.ExitError](err); ok && strings.Contains(said, "No value found") {
		return "", nil
	}
	return "", fmt.Errorf("%s: %w: %s", cmd.Path, err, said)
}

// limited is a buffer that refuses more than it is to hold.
type limited struct {
	bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errLarge
	}
	l.left -= len(p)
	return l.Buffer.Write(p)
}

// properties are what an OVF environment says.
type properties map[string]string

// Get implements GuestInfo.
func (p properties) Get(_ context.Context, key string) (string, error) { return p[key], nil }

// readOVF reads the PropertySection of an OVF environment. Of properties of the
// same name the last counts.
func readOVF(data []byte) (properties, error) {
	var environment struct {
		Properties []struct {
			Key   string `xml:"key,attr"`
			Value string `xml:"value,attr"`
		} `xml:"PropertySection>Property"`
	}
	if err := xml.Unmarshal(data, &environment); err != nil {
		return nil, fmt.Errorf("OVF environment: %w", err)
	}
	p := make(properties)
	for _, property := range environment.Properties {
		p[property.Key] = property.Value
	}
	return p, nil
}

// ovfFile is an OVF environment in a file.
type ovfFile string

// Get implements GuestInfo.
func (f ovfFile) Get(ctx context.Context, key string) (string, error) {
	guest, err := f.open(ctx)
	if err != nil {
		return "", err
	}
	return guest.Get(ctx, key)
}

func (f ovfFile) open(context.Context) (GuestInfo, error) {
	data, err := readFile(string(f), maxUserData)
	if err != nil {
		return nil, err
	}
	p, err := readOVF(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", string(f), err)
	}
	return p, nil
}

// withOVF prefers the OVF environment that is a value of the guestinfo itself.
type withOVF struct{ GuestInfo }

func (w withOVF) open(ctx context.Context) (GuestInfo, error) {
	text, err := w.GuestInfo.Get(ctx, "guestinfo.ovfEnv")
	if err != nil {
		return nil, fmt.Errorf("guestinfo.ovfEnv: %w", err)
	}
	if strings.TrimSpace(text) == "" {
		return w.GuestInfo, nil
	}
	p, err := readOVF([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("guestinfo.ovfEnv: %w", err)
	}
	return either{p, w.GuestInfo}, nil
}

// either looks in one place, then in another.
type either struct {
	first  properties
	second GuestInfo
}

// Get implements GuestInfo.
func (e either) Get(ctx context.Context, key string) (string, error) {
	if value := e.first[key]; value != "" {
		return value, nil
	}
	return e.second.Get(ctx, key)
}
