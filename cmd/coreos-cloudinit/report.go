package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/strakeproject/strake/cloudconfig"
	"github.com/strakeproject/strake/cloudconfig/network"
)

// outcome is what -report json tells of a run, as one JSON object.
type outcome struct {
	Source string `json:"source"`
	// UserData is what is odd in the user-data, Unknown where an unknown address
	// left a gap in it.
	UserData cloudconfig.Report `json:"user_data"`
	Unknown  cloudconfig.Report `json:"unknown_addresses"`
	Notes    []string           `json:"notes"`
	// Steps are those done, or with -dry-run those to do.
	Steps []stepOutcome `json:"steps"`
	Error string        `json:"error,omitempty"`
}

type stepOutcome struct {
	Op     cloudconfig.Op `json:"op"`
	Target string         `json:"target"`
	Text   string         `json:"text"`
	Detail string         `json:"detail,omitempty"`
	Error  string         `json:"error,omitempty"`
}

// progress notes the result of a step.
func (o *outcome) progress(r cloudconfig.Result) {
	s := stepOutcome{Op: r.Step.Op, Target: r.Step.Target, Text: r.Step.String(), Detail: r.Detail}
	if r.Err != nil {
		s.Error = r.Err.Error()
	}
	o.Steps = append(o.Steps, s)
}

// tell prints the outcome, if that is wanted.
func (p *program) tell() {
	if p.Report != "json" {
		return
	}
	if p.out.Notes == nil {
		p.out.Notes = []string{}
	}
	if p.out.Steps == nil {
		p.out.Steps = []stepOutcome{}
	}
	p.print(p.out)
}

// print prints something as JSON.
func (p *program) print(v any) {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		p.log.Error(err.Error())
	}
}

// show shows a plan instead of carrying it out.
func (p *program) show(plan *cloudconfig.Plan, setup *network.Setup) {
	if p.Report == "json" {
		for _, s := range plan.Steps {
			p.out.Steps = append(p.out.Steps, stepOutcome{Op: s.Op, Target: s.Target, Text: s.String(), Error: s.Problem})
		}
		return
	}
	if !p.image() && changes(plan, setup) {
		for _, name := range setup.Down {
			fmt.Fprintf(p.stdout, "Taking down interface %s, if it is there\n", name)
		}
		for _, m := range setup.Modules {
			fmt.Fprintf(p.stdout, "Loading module %s\n", strings.Join(append([]string{m.Name}, m.Options...), " "))
		}
	}
	fmt.Fprint(p.stdout, plan)
}
