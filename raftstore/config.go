package raftstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Config says how to open a Node. Fields at their zero value take the default
// named with them.
type Config struct {
	// Dir is the data directory, made if missing. It holds the identity file and
	// the state machine's directory; what it holds decides between bootstrap and
	// restart.
	Dir string
	// Name names this member in Initial. Needed to bootstrap only.
	Name string
	// Initial lists every member of a new cluster, this one included. All
	// members of the cluster must be given the same list and Token. Ignored when
	// Dir already belongs to a member.
	Initial []InitialMember
	// Join, if not nil and Dir holds no member, makes this a new member of an
	// existing cluster, to which AddLearner has added it under one of URLs.
	// Initial is then ignored.
	Join *Cluster
	// URLs are where peers reach this member. Needed to join only.
	URLs []string
	// Token sets clusters with the same members apart. Default "etcd-cluster".
	Token string

	// StateMachine, Log and Transport are required. The Node owns them from Open
	// on and closes them when it stops. When Open fails it has closed StateMachine
	// and Log, opened or not, and has not started the Transport.
	StateMachine StateMachine
	Log          LogStore
	Transport    Transport

	// Lead, if set, runs whenever this member leads and has applied all that
	// earlier leaders committed. Its context ends with the leadership, and a
	// later call begins only when the earlier one has returned.
	Lead func(ctx context.Context, term uint64)

	// TickInterval is the unit of the raft clock. Default 100 ms.
	TickInterval time.Duration
	// HeartbeatTicks is the time between a leader's heartbeats. Default 1.
	HeartbeatTicks int
	// ElectionTicks is how long a member hears nothing from a leader before it
	// stands for election; up to twice that, drawn at random. Default 10.
	ElectionTicks int

	// MaxCommandBytes bounds one command. Default 10 MiB.
	MaxCommandBytes int64
	// MaxQueueBytes bounds the commands that wait to enter the log; beyond it
	// Propose fails with ErrOverloaded. Default 32 MiB.
	MaxQueueBytes int64
	// MaxUncommittedBytes bounds the commands in the log that are not yet
	// applied here; beyond it new ones wait in the queue. Default 64 MiB.
	MaxUncommittedBytes int64
	// TailCacheBytes bounds the recent log entries kept in memory. Default 32 MiB.
	TailCacheBytes int64

	// LogRetainBytes is how much of the log stays for members that lag. Default
	// 64 MiB.
	LogRetainBytes int64
	// LogCapBytes is how much of the log a leader keeps for a reachable member
	// that lags further; beyond it that member gets a snapshot. Default 1 GiB.
	LogCapBytes int64
	// FlushBytes is how much of the log may wait to become durable in the state
	// before the state is flushed. Default 128 MiB.
	FlushBytes int64
	// FlushInterval is how long it may. Default 10 min.
	FlushInterval time.Duration

	// FS is the file system of Dir. Default: the operating system's.
	FS FS
	// Rand is the source of ids. Default: crypto/rand.Reader.
	Rand io.Reader
	// Now is the wall clock that stamps commands. Default time.Now.
	Now func() time.Time
	// Logger receives one line per event an operator acts on. Default: none.
	Logger *slog.Logger
}

// InitialMember is a member of a cluster to be bootstrapped.
type InitialMember struct {
	Name string
	// URLs are where its peers reach it, like "http://10.0.0.1:2380".
	URLs []string
}

// Limits of one frame and of one Apply: a flush to disk costs the same up to
// some tens of KiB, and beyond 1 MiB latency suffers.
const (
	maxFrameBytes    = 1 << 20
	maxFrameCommands = 4096
	// maxAppendsInFlight holds new frames back while this many appends wait for
	// the disk. Frames then grow with the disk's latency, and nothing waits when
	// the disk is idle.
	maxAppendsInFlight = 2
)

func (c *Config) fill() error {
	switch {
	case c.Dir == "":
		return errors.New("raftstore: Config.Dir is empty")
	case c.StateMachine == nil:
		return errors.New("raftstore: Config.StateMachine is nil")
	case c.Log == nil:
		return errors.New("raftstore: Config.Log is nil")
	case c.Transport == nil:
		return errors.New("raftstore: Config.Transport is nil")
	}
	orDefault(&c.Token, "etcd-cluster")
	orDefault(&c.TickInterval, 100*time.Millisecond)
	orDefault(&c.HeartbeatTicks, 1)
	orDefault(&c.ElectionTicks, 10)
	orDefault(&c.MaxCommandBytes, 10<<20)
	orDefault(&c.MaxQueueBytes, 32<<20)
	orDefault(&c.MaxUncommittedBytes, 64<<20)
	orDefault(&c.TailCacheBytes, 32<<20)
	orDefault(&c.LogRetainBytes, 64<<20)
	orDefault(&c.LogCapBytes, 1<<30)
	orDefault(&c.FlushBytes, 128<<20)
	orDefault(&c.FlushInterval, 10*time.Minute)
	if c.ElectionTicks <= c.HeartbeatTicks {
		return fmt.Errorf("raftstore: Config.ElectionTicks is %d, must exceed HeartbeatTicks, which is %d", c.ElectionTicks, c.HeartbeatTicks)
	}
	c.fillSeams()
	return nil
}

// fillSeams gives the outside world to what is left to it.
func (c *Config) fillSeams() {
	if c.FS == nil {
		c.FS = osFS{}
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
