package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Config says who connects, and whom to trust.
type Config struct {
	// User is the name on the machine.
	User string
	// AgentSocket is the path of the SSH agent's socket. Required.
	AgentSocket string
	// Hosts decides whether to trust a host; nil trusts all.
	Hosts *KnownHosts
	// Timeout bounds how long it takes to connect, but for questions that are
	// asked on the way. Default 10 s.
	Timeout time.Duration
}

// ErrNoAgent: there is no SSH agent to get keys from.
var ErrNoAgent = errors.New("SSH_AUTH_SOCK environment variable is not set. Verify ssh-agent is running")

// ErrTimeout: the other side was too slow.
var ErrTimeout = errors.New("timed out while initiating SSH connection")

// Client is a connection to a machine. It is safe for concurrent use.
type Client struct {
	ssh   *ssh.Client
	agent agent.ExtendedAgent
	conn  net.Conn // to the agent
}

// Dial connects to host or host:port, through another machine if via is not nil.
func Dial(ctx context.Context, address string, via *Client, cfg Config) (*Client, error) {
	if cfg.AgentSocket == "" {
		return nil, ErrNoAgent
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 10 * time.Second
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), "22")
	}
	agentConn, err := new(net.Dialer).DialContext(ctx, "unix", cfg.AgentSocket)
	if err != nil {
		return nil, fmt.Errorf("SSH agent: %w", err)
	}
	c := &Client{agent: agent.NewClient(agentConn), conn: agentConn}
	if c.ssh, err = c.connect(ctx, address, via, cfg); err != nil {
		agentConn.Close()
		return nil, err
	}
	return c, nil
}

// connect dials and shakes hands, in time.
func (c *Client) connect(ctx context.Context, address string, via *Client, cfg Config) (*ssh.Client, error) {
	dialing, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	var conn net.Conn
	var err error
	if via == nil {
		conn, err = new(net.Dialer).DialContext(dialing, "tcp", address)
	} else {
		conn, err = via.ssh.DialContext(dialing, "tcp", address)
	}
	if err != nil {
		if ctx.Err() == nil && dialing.Err() != nil {
			return nil, ErrTimeout
		}
		return nil, err
	}
	var late atomic.Bool
	timer := time.AfterFunc(cfg.Timeout, func() {
		late.Store(true)
		conn.Close()
	})
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	config := &ssh.ClientConfig{
		User:            cfg.User,
		Auth:            []ssh.AuthMethod{ssh.PublicKeysCallback(c.agent.Signers)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	}
	if cfg.Hosts != nil {
		config.HostKeyAlgorithms = cfg.Hosts.algorithms(address)
		config.HostKeyCallback = func(_ string, _ net.Addr, key ssh.PublicKey) error {
			timer.Stop() // people take their time
			defer timer.Reset(cfg.Timeout)
			return cfg.Hosts.check(address, key)
		}
	}
	sc, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		conn.Close()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case late.Load():
			return nil, ErrTimeout
		}
		return nil, err
	}
	return ssh.NewClient(sc, channels, requests), nil
}

// Close ends the connection and all that goes through it.
func (c *Client) Close() {
	_ = c.ssh.Close() // it may be gone already
	_ = c.conn.Close()
}

// Stdio is what a command on a machine reads and writes.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal, if not nil, is In as a terminal that the command is to have.
	Terminal *os.File
	// ForwardAgent lets the machine use the agent for as long as the command
	// runs.
	ForwardAgent bool
}

// Run runs a command, or the user's shell if it is empty, and returns its exit
// status.
func (c *Client) Run(ctx context.Context, command string, std Stdio) (int, error) {
	session, err := c.ssh.NewSession()
	if err != nil {
		return 0, err
	}
	defer session.Close()
	defer context.AfterFunc(ctx, func() { session.Close() })()
	session.Stdin, session.Stdout, session.Stderr = std.In, std.Out, std.Err
	if std.ForwardAgent {
		err = agent.ForwardToAgent(c.ssh, c.agent)
		if err == nil {
			err = agent.RequestAgentForwarding(session)
		}
		if err != nil {
			return 0, fmt.Errorf("forward agent: %w", err)
		}
	}
	if std.Terminal != nil {
		restore, err := attachTerminal(session, std.Terminal)
		if err != nil {
			return 0, err
		}
		defer restore()
	}
	if command == "" {
		if err = session.Shell(); err == nil {
			err = session.Wait()
		}
	} else {
		err = session.Run(command)
	}
	if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
		return exit.ExitStatus(), nil
	}
	return 0, err
}

// DialTCP connects from the machine to an address as seen from there.
func (c *Client) DialTCP(ctx context.Context, address string) (net.Conn, error) {
	return c.ssh.DialContext(ctx, "tcp", address)
}

// DialUnix connects to a Unix socket of the machine, by way of the fleetctl
// there.
func (c *Client) DialUnix(path string) (net.Conn, error) {
	session, err := c.ssh.NewSession()
	if err != nil {
		return nil, err
	}
	in, err := session.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := session.Start("fleetctl fd-forward " + Quote(path)); err != nil {
		_ = session.Close() // the command did not start
		return nil, err
	}
	return &pipe{session: session, Reader: out, WriteCloser: in}, nil
}

// pipe is a command that carries a connection.
type pipe struct {
	session *ssh.Session
	io.Reader
	io.WriteCloser
}

func (p *pipe) Close() error {
	_ = p.WriteCloser.Close() // the session goes in any case
	return p.session.Close()
}

// There is nothing to say about the ends of a pipe, and no time that it keeps.
func (p *pipe) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "fd-forward", Net: "unix"} }
func (p *pipe) RemoteAddr() net.Addr             { return p.LocalAddr() }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// Quote makes one word of a text for a shell.
func Quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
