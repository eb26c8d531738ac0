//go:build linux

package netlab

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Process is a process on a host.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // written before done is closed
}

// Start starts a command on the host. If prepare is not nil it runs first, on
// the thread that starts the process, whose attributes the process inherits.
// The process is killed when the host goes, even if that is because the caller
// was killed.
func (h *Host) Start(cmd *exec.Cmd, prepare func() error) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &Process{cmd: cmd, done: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, fmt.Errorf("netlab: host %s: %w", h.name, os.ErrClosed)
	}
	started := make(chan error, 1)
	go func() {
		// The thread lasts as long as the process, which dies with it.
		err := h.inside(func() error {
			if prepare != nil {
				if err := prepare(); err != nil {
					return err
				}
			}
			if err := cmd.Start(); err != nil {
				return err
			}
			started <- nil
			p.err = cmd.Wait()
			close(p.done)
			return nil
		})
		if err != nil {
			started <- err
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("netlab: start %s on host %s: %w", cmd.Path, h.name, err)
	}
	h.processes = append(h.processes, p)
	return p, nil
}

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends the process with SIGKILL, which a stopped one obeys, too, and waits
// for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended, as exec.Cmd.Wait does. Call it when Done is
// closed.
func (p *Process) Err() error { return p.err }
