package member_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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
	Place    int // in Initial
	Dir      string
	Initial  []raftstore.InitialMember
	Existing bool
	Tight    bool
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
	cfg := member.Config{
		Name: self.Name, DataDir: p.Dir, PeerListeners: ls, AdvertisePeerURLs: self.URLs, InitialCluster: p.Initial,
		Existing: p.Existing, HeartbeatInterval: heartbeat, ElectionTimeout: election,
	}
	if p.Tight {
		tight(&cfg)
	}
	m, err := member.Open(ctx, cfg)
	if err != nil {
		return err
	}
	serveOps(m)
	return m.Stop(ctx)
}

// administer executes an op that is about the member or its cluster. Those that
// change the cluster are tried until they have worked.
func administer(ctx context.Context, m *member.Member, o op) answer {
	var err error
	switch o.Kind {
	case "log": // the first entry, and as value the last
		first, last := m.Log()
		return answer{Index: first, Value: fmt.Sprint(last)}
	case "snapshots":
		return answer{Index: m.Snapshots()}
	case "learners": // how many there are
		return answer{Index: uint64(len(slices.DeleteFunc(m.Members(), func(info member.Info) bool { return !info.Learner })))}
	case "add": // Key is a URL
		if _, err = m.AddMember(ctx, []string{o.Key}); errors.Is(err, member.ErrMemberExists) {
			err = nil // earlier, with an outcome that was not known
		}
	case "remove": // Key is a URL
		i := slices.IndexFunc(m.Members(), func(info member.Info) bool { return info.PeerURLs[0] == o.Key })
		if i >= 0 {
			err = m.RemoveMember(ctx, m.Members()[i].ID)
		}
	default:
		return perform(ctx, m, o)
	}
	if err != nil {
		return answer{Outcome: "unknown", Err: err.Error()}
	}
	return answer{}
}

func serveOps(m *member.Member) {
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
			a := administer(ctx, m, req.Op)
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
	var initial []raftstore.InitialMember
	for i := range n {
		u, l := reserve(t)
		initial = append(initial, raftstore.InitialMember{Name: fmt.Sprintf("m%d", i), URLs: []string{u}})
		defer l.Close()
	}
	for i := range n {
		f.cfgs = append(f.cfgs, processConfig{Place: i, Dir: t.TempDir(), Initial: initial})
	}
	t.Cleanup(func() {
		for i := range n {
			f.kill(i)
		}
	})
	return f
}

// reserve returns the URL of a port, which is taken until the listener is closed.
func reserve(t *testing.T) (string, net.Listener) {
	t.Helper()
	l := listen(t, loopback()+":0")
	return "http://" + l.Addr().String(), l
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

// ask has one of two processes execute an op, and tries until it has worked.
func (f *fleet) ask(a, b int, o op) answer {
	f.t.Helper()
	for i := a; ; i = a + b - i {
		if res := f.do(f.t.Context(), i, o); res.Outcome == "" {
			return res
		} else if f.t.Context().Err() != nil {
			f.t.Fatalf("%+v: %+v", o, res)
		}
	}
}

// outrun writes until a process that is dead, and whose log ended at last, cannot
// catch up from the log of either of the others.
func (f *fleet) outrun(a, b int, last uint64) {
	f.t.Helper()
	value := strings.Repeat("v", 2<<10)
	for i := 0; f.ask(a, a, op{Kind: "log"}).Index <= last+1 || f.ask(b, b, op{Kind: "log"}).Index <= last+1; i++ {
		f.ask(a, b, op{Kind: "set", Key: fmt.Sprintf("/outrun/%d", i%10), Value: value})
	}
}

// replace starts a process with an empty disk in the place of a dead one, as a
// new member on another port.
func (f *fleet) replace(i, a, b int) {
	f.t.Helper()
	dead := f.cfgs[i].Initial[f.cfgs[i].Place]
	u, l := reserve(f.t)
	f.ask(a, b, op{Kind: "remove", Key: dead.URLs[0]})
	f.ask(a, b, op{Kind: "add", Key: u})
	now := slices.Clone(f.cfgs[i].Initial)
	now[f.cfgs[i].Place] = raftstore.InitialMember{Name: dead.Name + "x", URLs: []string{u}}
	for j := range f.cfgs {
		f.cfgs[j].Initial = now
	}
	f.cfgs[i].Dir, f.cfgs[i].Existing = f.t.TempDir(), true
	l.Close()
	f.start(i)
	// Until the new member votes, the next one to be killed would take the quorum
	// with it.
	for f.ask(a, b, op{Kind: "learners"}).Index > 0 {
		time.Sleep(20 * time.Millisecond)
	}
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

// TestKilledMembersAreReplacedAndCatchUp kills members with SIGKILL for so long
// that they need a snapshot, kills them again while they get it, and replaces
// some by new ones.
func TestKilledMembersAreReplacedAndCatchUp(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	f := newFleet(t, 3)
	for i := range f.procs {
		f.cfgs[i].Tight = true
		f.start(i)
	}
	w := startWorkload(t, 3, f.do)
	installed := uint64(0)
	for round := range 6 {
		i := round % 3
		a, b := (i+1)%3, (i+2)%3
		w.progress(30, 0, 1, 2)
		last, err := strconv.ParseUint(f.ask(i, i, op{Kind: "log"}).Value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		f.kill(i)
		if round%2 == 0 {
			f.outrun(a, b, last)
			f.start(i)
			w.progress(5*round, a, b)
			f.kill(i)
			f.start(i)
		} else {
			f.replace(i, a, b)
		}
		w.progress(5, i)
		installed += f.ask(i, i, op{Kind: "snapshots"}).Index
	}
	w.check(t)
	if t.Logf("%d snapshots installed", installed); installed == 0 {
		t.Error("nobody needed a snapshot")
	}
}
