//go:build linux

package machinelab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cgroups are the directories of control groups that one machine has for itself,
// in each hierarchy that its systemd sorts services in. Two machines in the same
// groups would be in each other's way: services of one name would be one group,
// which goes when it is over in one machine and is about to begin in the other.
type cgroups []string

// makeCgroups makes groups of that name within those of this process.
func makeCgroups(name string) (cgroups, error) {
	within, err := ownCgroups()
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	var made cgroups
	for _, dir := range within {
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, made.remove())
		}
		made = append(made, dir)
	}
	return made, nil
}

// ownCgroups returns the directories of this process's groups in the hierarchies
// of systemd: cgroup v2, and what there is in its place or besides it with v1.
func ownCgroups() ([]string, error) {
	paths, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var dirs []string
	for line := range strings.Lines(string(paths)) {
		// 9:name=systemd:/path
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) < 3 || f[0] != "0" && f[1] != "name=systemd" {
			continue
		}
		for line := range strings.Lines(string(mounts)) {
			if dir, ok := cgroupAt(strings.Fields(line), f[1], f[2]); ok {
				dirs = append(dirs, dir)
				break
			}
		}
	}
	return dirs, nil
}

// cgroupAt returns where a mount shows a group of a hierarchy, if it does. That of
// v2 has no name.
func cgroupAt(mount []string, hierarchy, path string) (dir string, ok bool) {
	// 40 31 0:37 /root /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
	end := slices.Index(mount, "-")
	if end < 5 || len(mount) < end+4 {
		return "", false
	}
	kind, options := mount[end+1], strings.Split(mount[end+3], ",")
	if hierarchy == "" && kind != "cgroup2" || hierarchy != "" && (kind != "cgroup" || !slices.Contains(options, hierarchy)) {
		return "", false
	}
	below, err := filepath.Rel(mount[3], path)
	if err != nil || below == ".." || strings.HasPrefix(below, "../") {
		return "", false
	}
	return filepath.Join(mount[4], below), true
}

// remove removes the groups, in which nothing must run any more.
func (c cgroups) remove() error {
	var errs []error
	for _, dir := range c {
		var all []string
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, path)
			}
			return err
		})
		errs = append(errs, err)
		for _, path := range slices.Backward(all) { // the files of a group go with it
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}
