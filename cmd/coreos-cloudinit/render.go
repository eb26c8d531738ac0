package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/configdrive"
	"github.com/strakeproject/strake/cloudconfig/datasource"
)

// The names that a template may have in it.
const (
	holdHostname  = "<HOSTNAME>"
	holdIP        = "<IP>"
	holdToken     = "<TOKEN>"
	holdDiscovery = "<DISCOVERY>"
	holdSSHKey    = "<SSH_KEY>"
)

// machine is one of a cluster.
type machine struct {
	name    string
	address netip.Addr
	config  string
}

// render makes the configs and drives of a cluster from a template.
func (p *program) render(ctx context.Context) int {
	if err := p.renderAll(ctx); err != nil {
		return p.fail(err)
	}
	return exitOK
}

func (p *program) renderAll(ctx context.Context) error {
	template, err := os.ReadFile(p.FromFile)
	if err != nil {
		return err
	}
	cluster, err := p.cluster(ctx, string(template))
	if err != nil {
		return fmt.Errorf("%s: %w", p.FromFile, err)
	}
	machines, err := p.machines(cluster)
	if err != nil {
		return fmt.Errorf("%s: %w", p.FromFile, err)
	}
	if err := os.MkdirAll(p.Out, 0o755); err != nil {
		return err
	}
	for _, m := range machines {
		yaml := filepath.Join(p.Out, m.name+".yaml")
		if err := replaceFile(yaml, []byte(m.config)); err != nil {
			return err
		}
		drive := configdrive.Drive{UserData: []byte(m.config), Hostname: m.name}
		iso := filepath.Join(p.Out, m.name+".iso")
		if err := writeFiles(iso, drive.Files()); err != nil {
			return err
		}
		address := "-"
		if m.address.IsValid() {
			address = m.address.String()
		}
		fmt.Fprintf(p.stdout, "%s\t%s\t%s\n", m.name, address, iso)
	}
	return nil
}

// cluster fills in what is the same for all machines. A token is asked for last, so
// that a template at fault costs none.
func (p *program) cluster(ctx context.Context, template string) (string, error) {
	for _, need := range []struct {
		hold, flag string
		given      bool
	}{
		{holdSSHKey, "-ssh-key", p.SSHKey != ""},
		{holdIP, "-address-first", p.AddressFirst.IsValid()},
		{holdToken, "-discovery", p.Discovery != ""},
		{holdDiscovery, "-discovery", p.Discovery != ""},
	} {
		if before, _, found := strings.Cut(template, need.hold); found && !need.given {
			return "", fmt.Errorf("line %d: %s needs %s", 1+strings.Count(before, "\n"), need.hold, need.flag)
		}
	}
	template, err := p.keys(template)
	if err != nil {
		return "", err
	}
	if _, err := p.machines(strings.NewReplacer(holdToken, "token", holdDiscovery, "http://discovery/token").Replace(template)); err != nil {
		return "", err
	}
	if p.Discovery == "" {
		return template, nil
	}
	discovery, err := p.token(ctx)
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	return strings.NewReplacer(holdToken, path.Base(discovery.Path), holdDiscovery, discovery.String()).Replace(template), nil
}

// keys repeats each line that wants a key.
func (p *program) keys(template string) (string, error) {
	if !strings.Contains(template, holdSSHKey) {
		return template, nil
	}
	text, err := os.ReadFile(p.SSHKey)
	if err != nil {
		return "", err
	}
	var keys []string
	for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan(); {
		if key := strings.TrimSpace(sc.Text()); key != "" && !strings.HasPrefix(key, "#") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return "", fmt.Errorf("there is no key in %s", p.SSHKey)
	}
	var out strings.Builder
	for line := range strings.Lines(template) {
		if !strings.Contains(line, holdSSHKey) {
			out.WriteString(line)
			continue
		}
		for _, key := range keys {
			out.WriteString(strings.TrimRight(strings.ReplaceAll(line, holdSSHKey, key), "\n") + "\n")
		}
	}
	return out.String(), nil
}

// token gets a token for the cluster: the URL that its members meet at.
func (p *program) token(ctx context.Context) (*url.URL, error) {
	from, err := url.Parse(p.Discovery)
	if err != nil {
		return nil, err
	}
	from = from.JoinPath("new")
	from.RawQuery = url.Values{"size": {strconv.Itoa(p.RenderCluster)}}.Encode()
	client := datasource.NewClient(datasource.ClientOptions{Logger: p.log})
	text, err := datasource.URL(client, from.String()).UserData(ctx)
	if err != nil {
		return nil, err
	}
	answer := strings.TrimSpace(string(text))
	u, err := url.Parse(answer)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http") || len(path.Base(u.Path)) < 2 {
		return nil, fmt.Errorf("%s answers %.80q, which is no URL with a token", from, answer)
	}
	return u, nil
}

// machines fills in what is each machine's own, and checks what comes out.
func (p *program) machines(template string) ([]machine, error) {
	const most = 10000
	if p.RenderCluster > most {
		return nil, fmt.Errorf("%d machines are more than %d", p.RenderCluster, most)
	}
	var list []machine
	address := p.AddressFirst
	for i := range p.RenderCluster {
		m := machine{name: p.NamePrefix + strconv.Itoa(i+1), address: address}
		if i > 0 && p.AddressFirst.IsValid() && !address.IsValid() {
			return nil, fmt.Errorf("there is no address left for %s", m.name)
		}
		if m.name != filepath.Base(m.name) {
			return nil, errors.New("-name-prefix is no beginning of a name")
		}
		m.config = strings.NewReplacer(holdHostname, m.name, holdIP, address.String()).Replace(template)
		if err := sound(cloudconfig.Validate([]byte(m.config))); err != nil {
			return nil, fmt.Errorf("for %s: %w", m.name, err)
		}
		list = append(list, m)
		address = address.Next()
	}
	return list, nil
}
