package member_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore"
)

// processEnv turns the test binary into a member that takes operations from
// standard input, as request, one JSON object a line, and answers with reply.
// It ends when its input does.
const processEnv = "STRAKE_TEST_MEMBER"

func TestMain(m *testing.M) {
	if cfg := os.Getenv(processEnv); cfg != "" {
		if err := runProcess(cfg); err != nil {
			fmt.Fprintln(os.Stderr, "member process:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// processConfig tells a process which member it is.
type processConfig struct {
	Place   int
	Dir     string
	Initial []raftstore.InitialMember
}

type request struct {
	ID int
	Op op
}

type reply struct {
	ID     int
	Answer answer
}

func runProcess(env string) error {
	var p processConfig
	if err := json.Unmarshal([]byte(env), &p); err != nil {
		return err
	}
	self := p.Initial[p.Place]
	ctx := context.Background()
	ls, err := member.Listen(ctx, self.URLs)
	if err != nil {
		return err
	}
	m, err := member.Open(ctx, member.Config{
		Name: self.Name, DataDir: p.Dir, PeerListeners: ls, AdvertisePeerURLs: self.URLs, InitialCluster: p.Initial,
		HeartbeatInterval: heartbeat, ElectionTimeout: election,
	})
	if err != nil {
		return err
	}
	serveOps(m)
	return m.Stop(ctx)
}

func serveOps(s kv.Store) {
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	in := json.NewDecoder(os.Stdin)
	for {
		var req request
		if err := in.Decode(&req); err != nil {
			return
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
			defer cancel()
			a := perform(ctx, s, req.Op)
			mu.Lock()
			defer mu.Unlock()
			_ = out.Encode(reply{req.ID, a}) // without a reader the process is about to end
		}()
	}
}

// A process is a member in a process of its own.
type process struct {
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{} // closed when the process has ended

	mu      sync.Mutex
	enc     *json.Encoder
	waiting map[int]chan answer
	last    int
}

func startProcess(t *testing.T, cfg processConfig) *process {
	t.Helper()
	env, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), processEnv+"="+string(env))
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, in: in, done: make(chan struct{}), enc: json.NewEncoder(in), waiting: map[int]chan answer{}}
	go p.read(out)
	return p
}

func (p *process) read(out io.Reader) {
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		var r reply
		if json.Unmarshal(sc.Bytes(), &r) != nil {
			break // cut off by a kill
		}
		p.mu.Lock()
		p.waiting[r.ID] <- r.Answer
		delete(p.waiting, r.ID)
		p.mu.Unlock()
	}
	_ = p.cmd.Wait() // it was killed, or says on standard error what is wrong
	close(p.done)
}

// do sends an op. What a process does not answer before it dies is unknown.
func (p *process) do(o op) answer {
	ch := make(chan answer, 1)
	p.mu.Lock()
	p.last++
	id := p.last
	p.waiting[id] = ch
	err := p.enc.Encode(request{id, o})
	p.mu.Unlock()
	if err == nil {
		select {
		case a := <-ch:
			return a
		case <-p.done:
		}
		select {
		case a := <-ch:
			return a
		default:
			err = errors.New("process was killed")
		}
	}
	if o.Kind == "get" {
		return answer{Outcome: "lost", Err: err.Error()}
	}
	return answer{Outcome: "unknown", Err: err.Error()}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// A fleet is the processes of a cluster, of which any may be dead.
type fleet struct {
	t    *testing.T
	cfgs []processConfig

	mu    sync.Mutex
	procs []*process
}

func newFleet(t *testing.T, n int) *fleet {
	f := &fleet{t: t, procs: make([]*process, n)}
	dir := t.TempDir()
	var initial []raftstore.InitialMember
	for i := range n {
		// An address that belongs to this process: nobody takes the port while the
		// member is dead.
		pid := os.Getpid()
		host := fmt.Sprintf("127.%d.%d.%d", 64+pid>>14&63, pid>>7&127, 1+pid&127)
		l := listen(t, host+":0")
		initial = append(initial, raftstore.InitialMember{Name: fmt.Sprintf("m%d", i), URLs: []string{"http://" + l.Addr().String()}})
		defer l.Close()
	}
	for i := range n {
		f.cfgs = append(f.cfgs, processConfig{Place: i, Dir: filepath.Join(dir, fmt.Sprint(i)), Initial: initial})
	}
	t.Cleanup(func() {
		for i := range n {
			f.kill(i)
		}
	})
	return f
}

func (f *fleet) start(i int) {
	p := startProcess(f.t, f.cfgs[i])
	f.mu.Lock()
	defer f.mu.Unlock()
	f.procs[i] = p
}

func (f *fleet) kill(i int) {
	f.mu.Lock()
	p := f.procs[i]
	f.procs[i] = nil
	f.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

func (f *fleet) do(_ context.Context, i int, o op) answer {
	f.mu.Lock()
	p := f.procs[i]
	f.mu.Unlock()
	if p == nil {
		return answer{Outcome: "lost", Err: "process is down"}
	}
	return p.do(o)
}

// TestKilledMembersLoseNoAcknowledgedWrite kills members with SIGKILL while
// clients write, one at a time and then all at once.
func TestKilledMembersLoseNoAcknowledgedWrite(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	f := newFleet(t, 3)
	for i := range f.procs {
		f.start(i)
	}
	w := startWorkload(t, 3, f.do)
	for round := range 6 {
		i := round % 3
		w.progress(60, 0, 1, 2)
		f.kill(i)
		w.progress(30, (i+1)%3, (i+2)%3)
		f.start(i)
		w.progress(5, i)
	}
	for i := range f.procs {
		f.kill(i)
	}
	for i := range f.procs {
		f.start(i)
	}
	w.progress(30, 0, 1, 2)
	w.check(t)
}
