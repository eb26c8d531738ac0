//go:build linux

package process

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// setupError is a failure before the program ran, with the exit code systemd
// gives it.
type setupError struct {
	code int
	err  error
}

func (e *setupError) Error() string { return e.err.Error() + ", " + exit{code: e.code}.String() }
func (e *setupError) Unwrap() error { return e.err }

func (a *activation) setupFailed(c command, err error) {
	result := resultResources
	if _, ok := errors.AsType[*setupError](err); ok {
		result = resultExitCode
	}
	a.s.say("%s could not be run: %v.", c.path, err)
	if !c.ignoreFailure {
		a.fail(result)
	}
}

// spawn starts a command.
func (a *activation) spawn(c command) (*proc, error) {
	env := maps.Clone(a.env)
	if a.main != nil {
		env["MAINPID"] = strconv.Itoa(a.main.pid)
	}
	if a.mainExit != nil {
		env["EXIT_CODE"], env["EXIT_STATUS"] = a.mainExit.reason(), a.mainExit.status()
	}
	env["SERVICE_RESULT"] = a.result
	path, err := lookProgram(c.path, env["PATH"])
	if err != nil {
		return nil, &setupError{exitExec, err}
	}
	dir, err := a.dir()
	if err != nil {
		return nil, &setupError{exitChdir, err}
	}
	argv := c.argv
	if !c.verbatim {
		argv = expandArgs(argv, env)
	}
	ident := a.svc.identifier
	if ident == "" {
		ident = c.name()
	}
	p, err := a.s.r.processes.start(program{
		path: path, argv: argv, env: entries(env), dir: dir, as: a.as.credential,
		sink: func(pid int, lines []string) { a.s.log.add(ident, pid, lines...) },
	})
	switch {
	case err == nil:
		a.alone = false
		return p, nil
	case errors.Is(err, errClosed), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return nil, err
	}
	return nil, &setupError{exitExec, err}
}

// lookProgram finds a bare name in the directories of path.
func lookProgram(name, path string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("no program %q in %s", name, path)
}

// dir is the working directory.
func (a *activation) dir() (string, error) {
	dir := a.svc.dir
	if dir.path == "~" {
		if dir.path = a.as.home; dir.path == "" {
			dir.path = a.s.r.host.home
		}
	}
	info, err := os.Stat(dir.path)
	if err == nil && !info.IsDir() {
		err = &os.PathError{Op: "chdir", Path: dir.path, Err: syscall.ENOTDIR}
	}
	if err != nil && dir.optional {
		return "/", nil
	}
	return dir.path, err
}
