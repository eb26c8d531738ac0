package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strakeproject/strake/schedule"
	"github.com/strakeproject/strake/schedule/registry"
)

// writers is how many placements are written at the same time.
const writers = 16

// carryOut writes steps, wave by wave. If one fails, those of later waves
// are not tried, as they may depend on it; the scheduler is told how things
// are, and the answer is false.
func (t *term) carryOut(ctx context.Context, steps []schedule.Step) bool {
	var first []schedule.Step
	for i, s := range steps {
		if s.StopFirst {
			leave := s
			leave.To = ""
			first = append(first, leave)
			steps[i].From, steps[i].Cause = "", schedule.CodeNew
		}
	}
	ok := t.write(ctx, first)
	for len(steps) > 0 {
		n := 1
		for n < len(steps) && steps[n].Wave == steps[0].Wave {
			n++
		}
		if ok {
			ok = t.write(ctx, steps[:n])
		} else {
			for _, s := range steps[:n] {
				t.updateUnit(s.Unit)
			}
		}
		steps = steps[n:]
	}
	return ok
}

// write writes the steps of one wave and logs each, in order. It reports
// whether all were done.
func (t *term) write(ctx context.Context, steps []schedule.Step) bool {
	errs := make([]error, len(steps))
	var running sync.WaitGroup
	turns := make(chan struct{}, writers)
	for i, s := range steps {
		turns <- struct{}{}
		running.Go(func() {
			start := time.Now()
			errs[i] = t.writeStep(ctx, s)
			if errs[i] == nil || ctx.Err() == nil {
				t.engine.counters.wrote(s, time.Since(start), errs[i])
			}
			<-turns
		})
	}
	running.Wait()
	ok := true
	for i, s := range steps {
		if errs[i] == nil || ctx.Err() == nil {
			t.logStep(s, errs[i])
		}
		if errs[i] != nil {
			ok = false
			t.updateUnit(s.Unit)
		}
	}
	return ok
}

// writeStep writes one step, on condition that its unit is where the step has
// it.
func (t *term) writeStep(ctx context.Context, s schedule.Step) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := t.prepare(ctx, s); err != nil {
		return err
	}
	var err error
	switch {
	case s.From == "":
		err = t.reg.Schedule(ctx, s.Unit, s.To)
	case s.To == "":
		err = t.reg.Unschedule(ctx, s.Unit, s.From)
	default:
		err = t.reg.Reschedule(ctx, s.Unit, s.From, s.To)
	}
	if err != nil || s.From == "" {
		return err
	}
	if u, ok := t.view.Unit(s.Unit); ok && u.Options.DynamicPorts > 0 {
		if err := t.reg.TakePorts(ctx, s.Unit, s.From); err != nil {
			t.engine.log.Warn("ports of an earlier place are not removed", "unit", s.Unit, "machine", s.From, "err", err)
		}
	}
	return nil
}

// prepare writes what has to be there before a unit comes to its machine.
func (t *term) prepare(ctx context.Context, s schedule.Step) error {
	u, ok := t.view.Unit(s.Unit)
	if !ok || s.To == "" {
		return nil
	}
	if u.Options.PinFirst && u.Pinned == "" {
		if err := t.reg.Pin(ctx, s.Unit, s.To); err != nil {
			return err
		}
	}
	if len(s.Ports) > 0 {
		return t.reg.GivePorts(ctx, s.Unit, s.To, s.Ports)
	}
	return nil
}

// overtaken reports whether a write failed as its unit is not where it was.
func overtaken(err error) bool {
	return errors.Is(err, registry.ErrScheduled) || errors.Is(err, registry.ErrNotScheduled)
}

func (t *term) logStep(s schedule.Step, err error) {
	log := t.engine.log.With("unit", s.Unit)
	if s.From != "" {
		log = log.With("from", s.From)
	}
	if s.To != "" {
		log = log.With("to", s.To)
	}
	log = log.With("reason", t.reason(s))
	switch {
	case overtaken(err):
		log.Info("unit was placed otherwise meanwhile")
	case err != nil:
		log.Warn("unit could not be placed, trying again", "err", err)
	case s.To == "":
		log.Info("unit is unscheduled")
	case s.From == "":
		log.Info("unit is scheduled")
	default:
		log.Info("unit is moved")
	}
}

// reason says in fleet's words why a step is made.
func (t *term) reason(s schedule.Step) string {
	unable := fmt.Sprintf("target Machine(%s) unable to run unit: ", s.From)
	u, _ := t.view.Unit(s.Unit)
	switch s.Cause {
	case schedule.CodeNew:
		return fmt.Sprintf("target state %s and unit not scheduled", u.Target)
	case schedule.CodeInactive:
		return "target state inactive"
	case schedule.CodeMachineLost:
		return fmt.Sprintf("target Machine(%s) went away", s.From)
	case schedule.CodeMachineID:
		return unable + fmt.Sprintf("agent ID %q does not match required %q", s.From, u.Options.MachineID)
	case schedule.CodeMetadata:
		return unable + "local Machine metadata insufficient"
	case schedule.CodePeer:
		return unable + fmt.Sprintf("required peer Unit(%s) is not scheduled locally", s.By)
	case schedule.CodeConflict:
		return unable + fmt.Sprintf("found conflict with locally-scheduled Unit([%s])", s.By)
	case schedule.CodeReplaced:
		return fmt.Sprintf("replaced by Unit(%s)", s.By)
	case schedule.CodePreempted:
		return fmt.Sprintf("preempted by Unit(%s)", s.By)
	case schedule.CodeGlobal:
		return fmt.Sprintf("makes room for global Unit(%s)", s.By)
	case schedule.CodeDraining:
		return fmt.Sprintf("target Machine(%s) is draining", s.From)
	case schedule.CodeRequire, schedule.CodeDedicated, schedule.CodeMaxPerMachine, schedule.CodePort, schedule.CodeResource:
		if s.By != "" {
			return unable + fmt.Sprintf("%s, for Unit(%s)", s.Cause, s.By)
		}
		return unable + string(s.Cause)
	}
	return string(s.Cause)
}
