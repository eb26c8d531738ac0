package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// usage is what processes have used.
type usage struct {
	cpu time.Duration // since they started
	rss int64         // bytes resident now
}

// usage sums up what the members of a cluster have used.
func (c *cluster) usage() (sum usage, err error) {
	for _, p := range c.members {
		u, err := processUsage(p.cmd.Process.Pid)
		if err != nil {
			return usage{}, err
		}
		sum.cpu += u.cpu
		sum.rss += u.rss
	}
	return sum, nil
}

// tick is the unit of processor times in /proc, 1/USER_HZ.
const tick = 10 * time.Millisecond

// processUsage reads /proc/PID/stat, see proc(5).
func processUsage(pid int) (usage, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The second field is a name in parentheses, which may hold anything.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 22 {
		return usage{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	num := func(field int) int64 {
		n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64) // a kernel writes no other thing
		return n
	}
	return usage{
		cpu: time.Duration(num(14)+num(15)) * tick,
		rss: num(24) * int64(os.Getpagesize()),
	}, nil
}
