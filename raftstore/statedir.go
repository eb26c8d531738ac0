package raftstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// The data directory:
//
//	identity.json   whom it belongs to
//	current.json    which directory holds the state, and what was installed
//	state, state-*  the state machine's directory; one of them
//	incoming        files of a snapshot that is being received
//	outgoing-*      checkpoints that are being sent
//
// A snapshot is installed at the moment that current.json names its directory.
// What is not named is left over from a crash and removed at the next start.
const (
	currentFile  = "current.json"
	firstState   = "state"
	statePrefix  = "state-"
	incomingDir  = "incoming"
	outgoingName = "outgoing-"
)

// current is the content of current.json. Without the file the state is in
// firstState and nothing was installed.
type current struct {
	Dir string `json:"dir"`
	// Installed is the position of the snapshot that Dir began as. A log that
	// ends before it is from before the installation, which then has to be
	// finished by emptying the log.
	Installed LogPosition `json:"installed"`
}

func loadCurrent(files FS, dir string) (current, error) {
	path := filepath.Join(dir, currentFile)
	b, err := readSealed(files, path)
	if errors.Is(err, fs.ErrNotExist) {
		return current{Dir: firstState}, nil
	}
	if err != nil {
		return current{}, fmt.Errorf("raftstore: %w", err)
	}
	var c current
	if err := json.Unmarshal(b, &c); err != nil || c.Dir != filepath.Base(c.Dir) || !strings.HasPrefix(c.Dir, statePrefix) {
		return current{}, fmt.Errorf("%w: %s: %q", ErrCorrupt, path, b)
	}
	return c, nil
}

// switchState makes the files received in incomingDir the state. It returns the
// path of the state's directory.
func switchState(files FS, dir string, installed LogPosition) (string, error) {
	c := current{Dir: fmt.Sprintf("%s%d-%d", statePrefix, installed.Term, installed.Index), Installed: installed}
	path := filepath.Join(dir, c.Dir)
	// A directory of that name is left from an attempt that did not become
	// current.
	if err := files.RemoveAll(path); err != nil {
		return "", err
	}
	if err := files.Rename(filepath.Join(dir, incomingDir), path); err != nil {
		return "", err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return path, writeSealed(files, filepath.Join(dir, currentFile), b)
}

// sweep removes what neither is nor will be the state.
func sweep(files FS, dir string, keep string) error {
	names, err := files.List(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		left := name == firstState || name == incomingDir ||
			strings.HasPrefix(name, statePrefix) || strings.HasPrefix(name, outgoingName)
		if left && name != keep {
			errs = append(errs, files.RemoveAll(filepath.Join(dir, name)))
		}
	}
	return errors.Join(errs...)
}

// finishInstall brings a log that is from before an installation in line with
// it, as the installation would have done had it not been interrupted.
func finishInstall(log LogStore, st LogState, installed LogPosition) (LogState, error) {
	if installed.Index <= st.Base.Index {
		return st, nil
	}
	if installed.Index <= st.Last {
		e, err := log.Entries(installed.Index, installed.Index+1, 0)
		if err != nil {
			return st, fmt.Errorf("raftstore: read log entry %d: %w", installed.Index, err)
		}
		if e[0].Term == installed.Term {
			return st, nil // the log continues the snapshot
		}
	}
	hard := st.Hard
	if hard.Term < installed.Term {
		hard = HardState{Term: installed.Term}
	}
	hard.Commit = installed.Index
	if err := log.Append(LogGroup{Base: &installed, Hard: &hard}, true); err != nil {
		return st, fmt.Errorf("raftstore: finish installation: %w", err)
	}
	return LogState{Hard: hard, Base: installed, Last: installed.Index}, nil
}
