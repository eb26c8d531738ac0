package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/unitfile"
	"github.com/strakeproject/strake/unit"
)

// document is a JSON input.
type document struct {
	Machines []machine           `json:"machines,omitempty"`
	Units    []service           `json:"units,omitempty"`
	Placed   map[string]string   `json:"placed,omitempty"`
	Ports    map[string][]uint16 `json:"ports,omitempty"` // dynamic ones, given with the place
}

// machine is a machine of a document. Amounts are as in unit files.
type machine struct {
	ID        string            `json:"id"`
	Metadata  map[string]string `json:"metadata"`
	CPU       string            `json:"cpu"`
	Memory    string            `json:"memory"`
	Disk      string            `json:"disk"`
	Resources map[string]int64  `json:"resources"`
	Ports     string            `json:"ports"` // "8000-8099"
	Dedicated string            `json:"dedicated"`
	State     string            `json:"state"`
}

// service is a unit of a document.
type service struct {
	Name      string   `json:"name"`
	Options   []string `json:"options"`
	Instances int      `json:"instances"` // of a template
	Inactive  bool     `json:"inactive"`
}

// reader collects a cluster from inputs.
type reader struct {
	cluster  schedule.Cluster
	ports    map[string][]uint16
	scale    map[string]int
	scaled   map[string]bool // by name in scale: there is such a template
	derive   unitfile.Derive
	warnings []string
}

// readInputs reads files and folders. An error names the file and, where there
// is one, the line.
func readInputs(paths []string, scale map[string]int, derive unitfile.Derive) (schedule.Cluster, []string, error) {
	r := reader{
		cluster: schedule.Cluster{Placed: make(map[string]string)},
		ports:   make(map[string][]uint16),
		scale:   scale,
		scaled:  make(map[string]bool),
		derive:  derive,
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			err = r.folder(path)
		} else if err == nil {
			err = r.document(path)
		}
		if err != nil {
			return r.cluster, nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(scale)) {
		if !r.scaled[name] {
			return r.cluster, nil, fmt.Errorf("there is no template %s@ to scale", name)
		}
	}
	for i, u := range r.cluster.Units {
		r.cluster.Units[i].Given = r.ports[u.Name]
	}
	return r.cluster, r.warnings, nil
}

// folder reads unit files, and passes over what is none by its name.
func (r *reader) folder(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || unit.CheckName(e.Name()) != nil {
			continue
		}
		file := filepath.Join(path, e.Name())
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f, err := unit.Parse(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := r.unit(file, service{Name: e.Name()}, f); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) document(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var d document
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return fmt.Errorf("%s: line %d: %w", path, lineOf(text, dec.InputOffset(), err), err)
	}
	for _, m := range d.Machines {
		if err := r.machine(m); err != nil {
			return fmt.Errorf("%s: machine %q: %w", path, m.ID, err)
		}
	}
	for _, s := range d.Units {
		f, err := unit.Parse([]byte("[X-Fleet]\n" + strings.Join(s.Options, "\n") + "\n"))
		if err != nil {
			return fmt.Errorf("%s: unit %q: %w", path, s.Name, err)
		}
		// Made of options, the file has no lines that could be pointed at.
		if f, err = unit.NewFile(f.Options()); err != nil {
			return fmt.Errorf("%s: unit %q: %w", path, s.Name, err)
		}
		if err := r.unit(path+": unit "+strconv.Quote(s.Name), s, f); err != nil {
			return err
		}
	}
	maps.Copy(r.cluster.Placed, d.Placed)
	maps.Copy(r.ports, d.Ports)
	return nil
}

// lineOf is the line of a document where reading it has failed.
func lineOf(text []byte, offset int64, err error) int {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = e.Offset
	}
	return 1 + bytes.Count(text[:min(offset, int64(len(text)))], []byte("\n"))
}

// unit takes in a unit, or the instances of a template. From says where it is
// from.
func (r *reader) unit(from string, s service, f *unit.File) error {
	if err := unit.CheckName(s.Name); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	for _, name := range r.instances(s) {
		u, warnings, err := unitfile.Read(name, f, r.derive)
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		for _, w := range warnings {
			r.warnings = append(r.warnings, from+": "+w.Text)
		}
		u.Active = !s.Inactive
		u.Generation = uint64(len(r.cluster.Units) + 1)
		r.cluster.Units = append(r.cluster.Units, u)
	}
	return nil
}

// instances are the names of the units that a unit stands for.
func (r *reader) instances(s service) []string {
	name := unit.Name(s.Name)
	if !name.IsTemplate() {
		return []string{s.Name}
	}
	n := max(1, s.Instances)
	if scale, ok := r.scale[name.Prefix()]; ok {
		n = scale
		r.scaled[name.Prefix()] = true
	}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s@%d%s", name.Prefix(), i+1, name.Suffix()))
	}
	return names
}

func (r *reader) machine(m machine) error {
	out := schedule.Machine{ID: m.ID, Metadata: m.Metadata, Dedicated: m.Dedicated}
	if m.CPU+m.Memory+m.Disk != "" || m.Resources != nil {
		capacity := schedule.Resources{Counters: m.Resources}
		for _, amount := range []struct {
			text  string
			into  *int64
			parse func(string) (int64, error)
		}{
			{m.CPU, &capacity.CPU, unit.ParseCPU},
			{m.Memory, &capacity.Memory, unit.ParseSize},
			{m.Disk, &capacity.Disk, unit.ParseSize},
		} {
			if amount.text == "" {
				continue
			}
			var err error
			if *amount.into, err = amount.parse(amount.text); err != nil {
				return err
			}
		}
		out.Capacity = &capacity
	}
	if m.Ports != "" {
		if _, err := fmt.Sscanf(m.Ports, "%d-%d", &out.PortRange[0], &out.PortRange[1]); err != nil {
			return fmt.Errorf("ports %q are not FIRST-LAST", m.Ports)
		}
	}
	switch m.State {
	case "", "open":
	case "cordoned":
		out.State = schedule.Cordoned
	case "draining":
		out.State = schedule.Draining
	default:
		return fmt.Errorf("state %q is none of open, cordoned and draining", m.State)
	}
	r.cluster.Machines = append(r.cluster.Machines, out)
	return nil
}

// save writes where the units of a cluster are.
func save(path string, c schedule.Cluster) error {
	d := document{Placed: c.Placed, Ports: make(map[string][]uint16)}
	for _, u := range c.Units {
		if len(u.Given) > 0 {
			d.Ports[u.Name] = u.Given
		}
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
