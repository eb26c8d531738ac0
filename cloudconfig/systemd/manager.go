package systemd

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

// Manager is systemd. Methods are safe for concurrent use.
type Manager struct {
	conn *dbus.Conn
	wait time.Duration
}

// Options change how a Manager works. The zero value waits for each job as long
// as the context allows.
type Options struct {
	// Wait bounds how long a command waits for its job; then its result is
	// "waiting" and the job goes on. A unit that is ordered after the caller's
	// own unit cannot start before the caller ends. 0 is no bound.
	Wait time.Duration
}

// Dial connects to systemd, through the system bus or where there is none yet
// through systemd's own socket. The context is for the connection's whole life.
func Dial(ctx context.Context, o Options) (*Manager, error) {
	conn, err := dbus.NewWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	return &Manager{conn: conn, wait: o.Wait}, nil
}

// Close ends the connection.
func (m *Manager) Close() { m.conn.Close() }

// Reload has systemd read all unit files again.
func (m *Manager) Reload(ctx context.Context) error { return m.conn.ReloadContext(ctx) }

// Active reports whether a unit runs or is about to.
func (m *Manager) Active(ctx context.Context, unit string) (bool, error) {
	p, err := m.conn.GetUnitPropertyContext(ctx, unit, "ActiveState")
	if err != nil {
		return false, err
	}
	switch p.Value.Value() {
	case "active", "reloading", "activating":
		return true, nil
	}
	return false, nil
}

// Command does a command to a unit, in the words of a cloud-config, and waits for
// its job. It returns what came of that in the words of systemd, such as "done" or
// "failed", or "waiting" when Options.Wait was over first. An error says that there
// was no job, or that ctx ended first.
func (m *Manager) Command(ctx context.Context, command, unit string) (string, error) {
	var do func(context.Context, string, string, chan<- string) (int, error)
	switch command {
	case "start":
		do = m.conn.StartUnitContext
	case "stop":
		do = m.conn.StopUnitContext
	case "restart":
		do = m.conn.RestartUnitContext
	case "reload":
		do = m.conn.ReloadUnitContext
	case "try-restart":
		do = m.conn.TryRestartUnitContext
	case "reload-or-restart":
		do = m.conn.ReloadOrRestartUnitContext
	case "reload-or-try-restart":
		do = m.conn.ReloadOrTryRestartUnitContext
	default:
		return "", fmt.Errorf("unsupported systemd command %q", command)
	}
	done := make(chan string, 1) // so that a result that comes too late blocks nobody
	if _, err := do(ctx, unit, "replace", done); err != nil {
		return "", err
	}
	var tooLong <-chan time.Time
	if m.wait > 0 {
		tooLong = time.After(m.wait)
	}
	select {
	case result := <-done:
		return result, nil
	case <-tooLong:
		return "waiting", nil
	case <-ctx.Done():
		return "", fmt.Errorf("wait for the job: %w", ctx.Err())
	}
}

// Enable makes the links that a unit's [Install] section asks for.
func (m *Manager) Enable(ctx context.Context, unit string, runtime bool) error {
	_, _, err := m.conn.EnableUnitFilesContext(ctx, []string{unit}, runtime, true)
	return err
}

// Disable removes them.
func (m *Manager) Disable(ctx context.Context, unit string, runtime bool) error {
	_, err := m.conn.DisableUnitFilesContext(ctx, []string{unit}, runtime)
	return err
}

// Run starts a program as a transient service, which is forgotten when it has
// ended.
func (m *Manager) Run(ctx context.Context, unit, description string, argv []string) error {
	collect := dbus.PropDescription("inactive-or-failed") // a property that is text, too
	collect.Name = "CollectMode"
	_, err := m.conn.StartTransientUnitContext(ctx, unit, "replace", []dbus.Property{
		dbus.PropDescription(description), dbus.PropExecStart(argv, false), collect,
	}, nil)
	return err
}
