package reboot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Rebooter reboots this machine. Reboot returns when the reboot is under way;
// an error means that the machine stays up.
type Rebooter interface {
	Reboot(ctx context.Context) error
}

// UpdateSource knows when this machine needs a reboot.
type UpdateSource interface {
	// WaitNeedReboot returns nil when a reboot is needed, at once if one is
	// needed already; else it fails with ctx, or because it cannot know.
	WaitNeedReboot(ctx context.Context) error
}

// Coordinator takes one machine through its reboots:
//
//	Ready -> give back the slot of the last reboot -> WaitNeedReboot
//	      -> LockWait -> Drain -> Reboot
//
// The slot is given back first, however soon the next reboot is needed: a
// machine that waits must not block all others. There is no goroutine but the
// one that calls Run.
type Coordinator struct {
	opts CoordinatorOptions
}

// CoordinatorOptions configure a Coordinator.
type CoordinatorOptions struct {
	Semaphore *Semaphore   // required
	Source    UpdateSource // required
	Rebooter  Rebooter     // required
	// Holder is the machine's name in the semaphore, by custom its machine id.
	// Required.
	Holder string
	// Ready returns when the machine does its work again after a reboot; until
	// then it keeps its slot, so that no other machine goes down. Default: the
	// slot is given back at once.
	Ready func(context.Context) error
	// Drain moves work off the machine before it reboots, while it holds a
	// slot. If it fails there is no reboot and the slot is given back.
	// Default: nothing is moved.
	Drain func(context.Context) error
	// Notify is called with each new Phase, from Run's goroutine. Default: not
	// at all.
	Notify func(Phase)
	// Logger takes what the coordinator does. Default: nothing is logged.
	Logger *slog.Logger
}

// Phase is a stage of a Coordinator, in the words of the update coordinator's
// file.
type Phase string

// The phases, in order.
const (
	PhaseStarting      Phase = "starting"
	PhaseRunning       Phase = "running"        // the last reboot is over, or there was none
	PhaseRebootPlanned Phase = "reboot-planned" // waiting for a slot, then draining
	PhaseRebooting     Phase = "rebooting"
)

// NewCoordinator returns a Coordinator that does nothing yet.
func NewCoordinator(opts CoordinatorOptions) (*Coordinator, error) {
	switch {
	case opts.Semaphore == nil:
		return nil, errors.New("reboot coordinator: Semaphore is missing")
	case opts.Source == nil:
		return nil, errors.New("reboot coordinator: Source is missing")
	case opts.Rebooter == nil:
		return nil, errors.New("reboot coordinator: Rebooter is missing")
	case opts.Holder == "":
		return nil, errors.New("reboot coordinator: Holder is missing")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Coordinator{opts: opts}, nil
}

// Run takes the machine up to its next reboot. Once that is under way it waits
// for ctx, since a coordinator that ran anew before the machine is down would
// give the slot back too early. Run fails with ctx, and if Ready, the source,
// Drain or Rebooter fail; the slot of a reboot that does not take place is given
// back before that. Run again after an error, and at the next boot.
func (c *Coordinator) Run(ctx context.Context) error {
	c.enter(PhaseStarting)
	if err := c.giveBack(ctx); err != nil {
		return err
	}
	c.enter(PhaseRunning)
	if err := c.opts.Source.WaitNeedReboot(ctx); err != nil {
		return fmt.Errorf("wait for the need of a reboot: %w", err)
	}
	c.enter(PhaseRebootPlanned)
	if err := c.opts.Semaphore.LockWait(ctx, c.opts.Holder); err != nil {
		return err
	}
	c.opts.Logger.Info("slot taken", "holder", c.opts.Holder)
	if err := c.goDown(ctx); err != nil {
		return errors.Join(err, c.giveBackAnyway(ctx))
	}
	c.enter(PhaseRebooting)
	<-ctx.Done()
	return ctx.Err()
}

// giveBack frees the slot that this machine holds, if it does, once the machine
// is ready. It keeps trying until ctx ends.
func (c *Coordinator) giveBack(ctx context.Context) error {
	if c.opts.Ready != nil {
		if err := c.opts.Ready(ctx); err != nil {
			return fmt.Errorf("wait for the machine to be ready: %w", err)
		}
	}
	retry := backoff{min: time.Second, max: time.Minute}
	for {
		err := c.opts.Semaphore.Unlock(ctx, c.opts.Holder)
		switch {
		case err == nil:
			c.opts.Logger.Info("slot of the last reboot given back", "holder", c.opts.Holder)
			return nil
		case errors.Is(err, ErrHolderMissing):
			return nil
		}
		c.opts.Logger.Warn("couldn't give back the slot of the last reboot", "holder", c.opts.Holder, "err", err)
		if err := retry.wait(ctx); err != nil {
			return err
		}
	}
}

// goDown drains and reboots.
func (c *Coordinator) goDown(ctx context.Context) error {
	if c.opts.Drain != nil {
		if err := c.opts.Drain(ctx); err != nil {
			return fmt.Errorf("drain: %w", err)
		}
	}
	if err := c.opts.Rebooter.Reboot(ctx); err != nil {
		return fmt.Errorf("reboot: %w", err)
	}
	return nil
}

// giveBackAnyway frees the slot although ctx may have ended.
func (c *Coordinator) giveBackAnyway(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	if err := c.opts.Semaphore.Unlock(ctx, c.opts.Holder); err != nil {
		return fmt.Errorf("give back the slot of a reboot that did not take place: %w", err)
	}
	return nil
}

func (c *Coordinator) enter(p Phase) {
	if c.opts.Notify != nil {
		c.opts.Notify(p)
	}
}
