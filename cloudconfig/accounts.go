package cloudconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// account is a line of /etc/passwd.
type account struct {
	name             string
	uid, gid         int
	gecos            string
	home, shell      string
	group            string   // the name of gid, if it has one
	others           []string // groups that list it
	hash             string   // of /etc/shadow
	hashIsUnreadable bool
}

// accounts are the users and groups that a machine has in its files.
type accounts struct {
	users  map[string]*account
	groups map[string]int
}

// accounts reads them. Files that do not exist list nobody.
func (v view) accounts() (accounts, error) {
	a := accounts{users: make(map[string]*account), groups: make(map[string]int)}
	passwd, err := v.table("/etc/passwd", 7)
	if err != nil {
		return a, err
	}
	groups, err := v.table("/etc/group", 4)
	if err != nil {
		return a, err
	}
	shadow, shadowErr := v.table("/etc/shadow", 2)
	for _, row := range passwd {
		uid, _ := strconv.Atoi(row[2])
		gid, _ := strconv.Atoi(row[3])
		a.users[row[0]] = &account{
			name: row[0], uid: uid, gid: gid, gecos: row[4], home: row[5], shell: row[6],
			hashIsUnreadable: shadowErr != nil,
		}
	}
	for _, row := range groups {
		gid, _ := strconv.Atoi(row[2])
		a.groups[row[0]] = gid
		for _, u := range a.users {
			if u.gid == gid {
				u.group = row[0]
			}
		}
		for name := range strings.SplitSeq(row[3], ",") {
			if u := a.users[name]; u != nil {
				u.others = append(u.others, row[0])
			}
		}
	}
	for _, row := range shadow {
		if u := a.users[row[0]]; u != nil {
			u.hash = row[1]
		}
	}
	return a, nil
}

// table reads a file of lines with fields between colons; lines with fewer
// fields are left out.
func (v view) table(name string, fields int) ([][]string, error) {
	text, err := v.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		if row := strings.Split(strings.TrimRight(line, "\r\n"), ":"); len(row) >= fields {
			rows = append(rows, row)
		}
	}
	return rows, err
}

// owner returns the numbers for "user", "user:group", ":group" or numbers, as
// chown takes them; -1 is to be left alone. "user:" is the user and its group.
func (a accounts) owner(text string) (uid, gid int, err error) {
	name, group, both := strings.Cut(text, ":")
	uid, gid = -1, -1
	if name != "" {
		if u := a.users[name]; u != nil {
			uid = u.uid
			if both && group == "" {
				gid = u.gid
			}
		} else if uid, err = number(name); err != nil {
			return -1, -1, fmt.Errorf("there is no user %q", name)
		}
	}
	if group != "" {
		if g, ok := a.groups[group]; ok {
			gid = g
		} else if gid, err = number(group); err != nil {
			return -1, -1, fmt.Errorf("there is no group %q", group)
		}
	}
	return uid, gid, nil
}

func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	return int(n), err
}
