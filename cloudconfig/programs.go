package cloudconfig

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
)

// Programs runs the system's own programs.
type Programs interface {
	// Run runs a program to its end. The error says what it printed.
	Run(ctx context.Context, stdin string, argv ...string) error
}

// systemPrograms are those of this machine.
type systemPrograms struct{}

func (systemPrograms) Run(ctx context.Context, stdin string, argv ...string) error {
	name := argv[0]
	if _, err := exec.LookPath(name); err != nil { // the PATH of a boot may lack it
		name = "/usr/sbin/" + name
	}
	cmd := exec.CommandContext(ctx, name, argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return &ProgramError{Program: argv[0], Output: string(bytes.TrimSpace(out)), Err: err}
	}
	return err
}

// ProgramError is the failure of a program of the system.
type ProgramError struct {
	Program string
	Output  string // what it printed, on both outputs
	Err     error  // its exit status
}

// Error gives program, status and output.
func (e *ProgramError) Error() string {
	text := e.Program + ": " + e.Err.Error()
	if e.Output != "" {
		text += ": " + strings.ReplaceAll(e.Output, "\n", "; ")
	}
	return text
}

// Unwrap returns the exit status.
func (e *ProgramError) Unwrap() error { return e.Err }
