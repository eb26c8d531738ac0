//go:build linux

package process

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// identity is the user and group a unit's processes run as.
type identity struct {
	credential *syscall.Credential // nil: those of the runner
	env        []string            // what a login would set
	home       string              // empty: that of the runner's user
}

// lookupIdentity finds the user and group with the given names or numbers;
// both empty means those of the runner.
func lookupIdentity(userName, groupName string) (identity, error) {
	var id identity
	if userName == "" && groupName == "" {
		return id, nil
	}
	uid, gid := strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid())
	var groups []string
	if userName != "" {
		u, err := user.Lookup(userName)
		if err != nil {
			if u, err = user.LookupId(userName); err != nil {
				return id, &setupError{exitUser, fmt.Errorf("no user %q", userName)}
			}
		}
		uid, gid, id.home = u.Uid, u.Gid, u.HomeDir
		id.env = []string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username}
		groups, _ = u.GroupIds() // none is right for a user whom no group lists
	}
	if groupName != "" {
		g, err := user.LookupGroup(groupName)
		if err != nil {
			if g, err = user.LookupGroupId(groupName); err != nil {
				return id, &setupError{exitGroup, fmt.Errorf("no group %q", groupName)}
			}
		}
		gid = g.Gid
	}
	if uid == strconv.Itoa(os.Getuid()) && gid == strconv.Itoa(os.Getgid()) {
		return id, nil
	}
	id.credential = &syscall.Credential{Uid: number(uid), Gid: number(gid)}
	for _, g := range groups {
		id.credential.Groups = append(id.credential.Groups, number(g))
	}
	return id, nil
}

// number reads a uid or gid; on Unix they are numbers.
func number(id string) uint32 {
	n, _ := strconv.ParseUint(id, 10, 32)
	return uint32(n)
}

// checkIdentity refuses an identity that the runner could never take on. Names
// that are not known yet pass: they may be when the unit starts.
func checkIdentity(userName, groupName string) error {
	if os.Getuid() == 0 {
		return nil
	}
	if id, err := lookupIdentity(userName, groupName); err == nil && id.credential != nil {
		return fmt.Errorf("[Service] User=%s Group=%s: only root can switch, and the runner has uid %d", userName, groupName, os.Getuid())
	}
	return nil
}
