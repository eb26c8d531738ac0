package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/datasource"
	"github.com/strakeproject/strake/cloudconfig/network"
)

// What the original says, word for word.
const (
	noSource      = "No datasources available in time"
	noMetadata    = "Failed fetching meta-data from datasource"
	notApplied    = "Failed to apply cloud-config"
	ignitionFound = "Detected an Ignition config. Exiting..."
)

// program is one run.
type program struct {
	cli
	stdout io.Writer
	log    *slog.Logger
	data   []byte // the user-data; none if they could not be fetched
	draft  *cloudconfig.Draft
	// failed is true if user-data could not be fetched or understood. What else
	// there is is applied all the same.
	failed bool
	out    outcome
}

// run looks for a source and does with its data what the flags say.
func (p *program) run(ctx context.Context) int {
	dir, err := os.MkdirTemp("", "coreos-cloudinit-")
	if err != nil {
		return p.fail(err)
	}
	defer os.RemoveAll(dir)
	source, err := p.source(ctx, dir)
	if err != nil {
		return p.fail(err)
	}
	p.userData(ctx, source)
	if p.Validate {
		return p.validated()
	}
	p.log.Info(fmt.Sprintf("Fetching meta-data from datasource of type %q", source.Type()))
	meta, err := source.Metadata(ctx)
	if err != nil {
		return p.fail(fmt.Errorf("%s: %w", noMetadata, err))
	}
	if p.WriteConfigDrive != "" {
		return p.status(p.writeDrive(meta))
	}
	return p.status(p.bring(ctx, source, meta))
}

// fail logs an error that ends the run.
func (p *program) fail(err error) int {
	p.log.Error(err.Error())
	p.out.Error = err.Error()
	p.tell()
	return exitFailed
}

// status is the exit status of a run that ended with err.
func (p *program) status(err error) int {
	if errors.Is(err, errIgnition) {
		fmt.Fprint(p.stdout, ignitionFound)
		return exitOK
	}
	if err != nil {
		return p.fail(err)
	}
	p.tell()
	if p.failed && !p.IgnoreFailure {
		return exitFailed
	}
	return exitOK
}

// userData fetches the user-data and reports on it.
func (p *program) userData(ctx context.Context, source datasource.Source) {
	p.out.Source = source.Type()
	p.log.Info(fmt.Sprintf("Fetching user-data from datasource of type %q", source.Type()))
	var err error
	if p.data, err = source.UserData(ctx); err != nil {
		p.failed, p.data = true, nil
		p.out.Error = fmt.Sprintf("Failed fetching user-data from datasource: %v. Continuing...", err)
		p.log.Error(p.out.Error)
	}
	p.draft = cloudconfig.NewDraft(p.data)
	p.out.UserData = p.draft.Report()
	for _, entry := range p.out.UserData {
		p.log.Info(entry.String())
	}
}

// validated ends a run that only reports.
func (p *program) validated() int {
	if p.Report == "json" {
		p.print(p.out.UserData)
	}
	if p.failed || len(p.out.UserData) > 0 {
		return exitFailed
	}
	return exitOK
}

// errIgnition ends a run with nothing done.
var errIgnition = errors.New("the user-data is an Ignition config")

// bring brings the machine, or the image, up to date.
func (p *program) bring(ctx context.Context, source datasource.Source, meta *datasource.Metadata) error {
	addresses := meta.Addresses.Or(cloudconfig.ReadAddresses(os.Getenv))
	user, err := p.read(addresses)
	if err != nil {
		return err
	}
	if user.Config.Hostname != "" && meta.Hostname != "" && user.Config.Hostname != meta.Hostname {
		p.log.Warn(fmt.Sprintf("Warning: user-data hostname (%s) overrides metadata hostname (%s)", user.Config.Hostname, meta.Hostname))
	}
	p.log.Info("Merging cloud-config from meta-data and user-data")
	setup, err := p.convert(meta.Network)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(p.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	plan, err := cloudconfig.NewPlan(cloudconfig.Merge(user.Config, meta.Config()), root.FS(), cloudconfig.Options{
		Addresses: addresses,
		Units:     setup.Units,
		Scripts:   user.Scripts,
		Image:     p.image(),
		KeySet:    p.SSHKeyName,
		Workspace: p.Workspace,
		Name:      p.configName(source),
		Keep:      p.failed,
	})
	if err != nil {
		return err
	}
	p.out.Notes = plan.Notes
	if p.DryRun {
		p.show(plan, setup)
		return nil
	}
	if err := p.apply(ctx, plan, setup); err != nil {
		return fmt.Errorf("%s: %w", notApplied, err)
	}
	return nil
}

// image reports whether the root is that of an image.
func (p *program) image() bool { return filepath.Clean(p.Root) != "/" }

// read parses the user-data. What cannot be parsed counts as none.
func (p *program) read(addresses cloudconfig.Addresses) (*cloudconfig.UserData, error) {
	if kind := cloudconfig.KindOf(p.data); kind != cloudconfig.KindEmpty {
		p.log.Info(fmt.Sprintf("Parsing user-data as %s", kind))
	}
	user, err := p.draft.Read(addresses)
	if err != nil {
		p.unreadable(err)
		return &cloudconfig.UserData{Config: &cloudconfig.Config{}}, nil
	}
	if user.Ignition {
		return nil, errIgnition
	}
	p.out.Unknown = user.Unknown
	for _, entry := range user.Unknown {
		p.log.Warn(entry.String())
	}
	return user, nil
}

// unreadable says why user-data counts as none: where the original says it, too,
// which is not always the log.
func (p *program) unreadable(err error) {
	p.failed = true
	text := fmt.Sprintf("Failed to parse user-data: %v", err)
	_, wrapping := cloudconfig.Unpack(p.data)
	switch {
	case wrapping != nil && cloudconfig.KindOf(p.data) == cloudconfig.KindGzip:
		text = fmt.Sprintf("Failed decompressing user-data from datasource: %v. Continuing...", err)
		p.log.Error(text)
	case p.Report == "text":
		fmt.Fprintf(p.stdout, "%s\nContinuing...\n", text)
	default:
		p.log.Error(text)
	}
	p.out.Error = text
}

// convert turns the platform's network into units, if that is wanted.
func (p *program) convert(n datasource.Network) (*network.Setup, error) {
	if p.ConvertNetconf == "" {
		return &network.Setup{}, nil
	}
	if string(n.Format) != p.ConvertNetconf {
		what := "none"
		if n.Format != "" {
			what = fmt.Sprintf("one of the kind %q", string(n.Format))
		}
		return nil, fmt.Errorf("-convert-netconf wants a network of the kind %q; the datasource has %s", p.ConvertNetconf, what)
	}
	setup, err := network.Convert(network.Kind(p.ConvertNetconf), n.Data)
	if err != nil {
		return nil, fmt.Errorf("network in the meta-data: %w", err)
	}
	return setup, nil
}
