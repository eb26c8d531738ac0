package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// sshd is an SSH server on loopback that lets one key in and runs commands as
// the user of the test, and an agent that has the key.
//
//	serve ── conn ─┬─ session ──> sh -c
//	               └─ direct-tcpip ──> net.Dial
//	agent ── conn ──> keyring
//
// All of it ends with close.
type sshd struct {
	config  *ssh.ServerConfig
	running sync.WaitGroup

	mu    sync.Mutex
	ends  []io.Closer // protected by mu
	ended bool        // protected by mu
}

// startSSHD starts a server at host, and sets SSHPORT and SSH_AUTH_SOCK for the
// script.
func startSSHD(ts *testscript.TestScript, host string) {
	_, hostKey, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	public, userKey, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	allowed, err := ssh.NewPublicKey(public)
	ts.Check(err)
	s := &sshd{config: &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(allowed.Marshal()) {
				return nil, errors.New("unknown key")
			}
			return &ssh.Permissions{}, nil
		},
	}}
	signer, err := ssh.NewSignerFromKey(hostKey)
	ts.Check(err)
	s.config.AddHostKey(signer)
	keyring := agent.NewKeyring()
	ts.Check(keyring.Add(agent.AddedKey{PrivateKey: userKey}))

	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	ts.Check(err)
	s.accept(l, s.serve)
	socket := ts.MkAbs(".agent-" + host + ".sock")
	a, err := net.Listen("unix", socket)
	ts.Check(err)
	s.accept(a, func(conn net.Conn) { _ = agent.ServeAgent(keyring, conn) }) // it ends with the connection
	ts.Setenv("SSHPORT", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	ts.Setenv("SSH_AUTH_SOCK", socket)
	ts.Defer(s.close)
}

func (s *sshd) accept(l net.Listener, serve func(net.Conn)) {
	s.keep(l)
	s.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.keep(conn)
			s.running.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
}

// keep has close end c too.
func (s *sshd) keep(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, c)
	if s.ended {
		c.Close()
	}
}

func (s *sshd) close() {
	s.mu.Lock()
	s.ended = true
	for _, c := range s.ends {
		c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *sshd) serve(conn net.Conn) {
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	s.running.Go(func() { ssh.DiscardRequests(requests) })
	for c := range channels {
		switch c.ChannelType() {
		case "session":
			if ch, requests, err := c.Accept(); err == nil {
				s.running.Go(func() { s.session(ch, requests) })
			}
		case "direct-tcpip":
			s.forward(c)
		default:
			_ = c.Reject(ssh.UnknownChannelType, "unknown channel") // the client sees it
		}
	}
}

func (s *sshd) forward(c ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(c.ExtraData(), &to); err != nil {
		_ = c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	out, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	s.keep(out)
	ch, requests, err := c.Accept()
	if err != nil {
		out.Close()
		return
	}
	s.running.Go(func() { ssh.DiscardRequests(requests) })
	s.running.Go(func() {
		_, _ = io.Copy(out, ch)
		out.Close()
	})
	s.running.Go(func() {
		_, _ = io.Copy(ch, out)
		ch.Close()
	})
}

func (s *sshd) session(ch ssh.Channel, requests <-chan *ssh.Request) {
	defer ch.Close()
	for r := range requests {
		if r.Type != "exec" {
			_ = r.Reply(r.Type != "auth-agent-req@openssh.com", nil)
			continue
		}
		var command struct{ Text string }
		if err := ssh.Unmarshal(r.Payload, &command); err != nil {
			return
		}
		_ = r.Reply(true, nil)
		s.running.Go(func() { ssh.DiscardRequests(requests) })
		cmd := exec.Command("sh", "-c", command.Text)
		in, err := cmd.StdinPipe()
		if err != nil {
			return
		}
		cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
		s.running.Go(func() {
			_, _ = io.Copy(in, ch)
			in.Close()
		})
		err = cmd.Run()
		status := struct{ Status uint32 }{}
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			status.Status = uint32(exit.ExitCode())
		} else if err != nil {
			fmt.Fprintln(ch.Stderr(), err)
			status.Status = 255
		}
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(status))
		return
	}
}
