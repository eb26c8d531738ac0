package memberapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/strakeproject/strake/kv/auth"
	"github.com/strakeproject/strake/kv/httpapi"
	"github.com/strakeproject/strake/kv/httpapi/memberapi"
	"github.com/strakeproject/strake/kv/member"
)

// A cluster is members in this process, on loopback and real files, each with
// its API.
type cluster struct {
	t       *testing.T
	dir     string
	urls    []string // of peers
	servers []*server
}

type server struct {
	*member.Member
	auth *auth.Authority
	http *httptest.Server
}

func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), servers: make([]*server, n)}
	ls := make([]net.Listener, n)
	for i := range ls {
		ls[i] = c.place()
	}
	c.startAll(ls)
	t.Cleanup(func() {
		for _, s := range c.servers {
			s.stop(t)
		}
	})
	return c
}

// place makes a place for one more member.
func (c *cluster) place() net.Listener {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.urls = append(c.urls, "http://"+l.Addr().String())
	return l
}

func name(i int) string { return fmt.Sprintf("m%d", i) }

func (c *cluster) startAll(ls []net.Listener) {
	c.t.Helper()
	var wg sync.WaitGroup
	for i, l := range ls {
		wg.Go(func() { c.servers[i] = c.start(i, l, false) })
	}
	wg.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

func (c *cluster) start(i int, l net.Listener, existing bool) *server {
	var list []string
	for j, u := range c.urls {
		list = append(list, name(j)+"="+u)
	}
	initial, err := member.ParseCluster(strings.Join(list, ","))
	if err != nil {
		c.t.Error(err)
		return nil
	}
	m, err := member.Open(c.t.Context(), member.Config{
		Name: name(i), DataDir: filepath.Join(c.dir, name(i)),
		PeerListeners: []net.Listener{l}, AdvertisePeerURLs: c.urls[i : i+1],
		InitialCluster: initial, Existing: existing, AdvertiseClientURLs: []string{fmt.Sprintf("http://client%d:2379", i)},
		// Patient, so that nobody else comes to lead while a test asks, which would
		// leave the outcome of a change open.
		HeartbeatInterval: 50 * time.Millisecond, ElectionTimeout: time.Second,
	})
	if err != nil {
		c.t.Errorf("open %s: %v", name(i), err)
		return nil
	}
	a, err := auth.Open(c.t.Context(), auth.Config{Store: m, Cost: bcrypt.MinCost})
	if err != nil {
		c.t.Errorf("open auth of %s: %v", name(i), err)
		return nil
	}
	view := memberapi.Of(m)
	api := httpapi.New(httpapi.Config{Store: m, Cluster: view, Changer: view, Activity: view.Activity, Auth: a})
	return &server{m, a, httptest.NewServer(api)}
}

func (s *server) stop(t *testing.T) {
	if s == nil {
		return
	}
	s.http.CloseClientConnections() // watches
	s.http.Close()
	s.auth.Close()
	// The test's own context ends before what it cleans up.
	if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// ask sends a request as somebody, who is name:password or nobody, and returns
// status and body.
func (s *server) ask(t *testing.T, method, path, who, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if name, password, ok := strings.Cut(who, ":"); ok {
		req.SetBasicAuth(name, password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", string(b)))
}

// expect asks until the answer begins as it should: other members learn of a
// change a moment later than the one that was asked for it.
func (s *server) expect(t *testing.T, want, method, path, who, body string) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		got := s.ask(t, method, path, who, body)
		if strings.HasPrefix(got, want) {
			return
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("%s %s as %q: got %s, want %s", method, path, who, got, want)
		}
	}
}

func TestAuthHoldsOnAllMembersAndAfterARestart(t *testing.T) {
	c := newCluster(t, 3)
	a, b := c.servers[0], c.servers[1]
	a.expect(t, "201", "PUT", "/v2/auth/users/root", "", `{"user":"root","password":"top"}`)
	b.expect(t, "200", "PUT", "/v2/auth/users/al", "", `{"user":"al","password":"pw","roles":["r"]}`)
	a.expect(t, "201", "PUT", "/v2/auth/roles/r", "", `{"role":"r","permissions":{"kv":{"read":["/a*"],"write":["/a*"]}}}`)
	b.expect(t, "201", "PUT", "/v2/auth/roles/guest", "", `{"role":"guest"}`)
	a.expect(t, "200", "PUT", "/v2/auth/enable", "", "")
	check := func() {
		t.Helper()
		for i, s := range c.servers {
			s.expect(t, "401", "GET", "/v2/keys/a", "", "")
			s.expect(t, "401", "GET", "/v2/keys/a", "al:no", "")
			s.expect(t, "401", "GET", "/v2/keys/b", "al:pw", "")
			s.expect(t, "20", "PUT", fmt.Sprintf("/v2/keys/a%d", i), "al:pw", "value=1")
			s.expect(t, `200 {"users":[{"user":"al",`, "GET", "/v2/auth/users", "root:top", "")
			s.expect(t, "401", "DELETE", "/v2/members/1", "al:pw", "")
			s.expect(t, "404", "DELETE", "/v2/members/1", "root:top", "")
			s.expect(t, "400", "GET", "/v2/keys/_strake/auth", "root:top", "")
		}
	}
	check()

	ls := make([]net.Listener, 3)
	for i, s := range c.servers {
		s.stop(t)
		var err error
		if ls[i], err = net.Listen("tcp", strings.TrimPrefix(c.urls[i], "http://")); err != nil {
			t.Fatal(err)
		}
	}
	c.startAll(ls)
	check()
}

func TestMembersComeAndGoOverHTTP(t *testing.T) {
	c := newCluster(t, 3)
	l := c.place()
	body := fmt.Sprintf(`{"peerURLs":[%q]}`, c.urls[3])
	answer := c.servers[0].ask(t, "POST", "/v2/members", "", body)
	var added struct{ ID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(answer, "201 ")), &added); err != nil || added.ID == "" {
		t.Fatalf("add: %s", answer)
	}
	c.servers[1].expect(t, `409 {"message":"membership: peerURL exists"}`, "POST", "/v2/members", "", body)
	c.servers = append(c.servers, c.start(3, l, true))
	c.servers[0].expect(t, "200 http://client0:2379, http://client1:2379, http://client2:2379, http://client3:2379", "GET", "/v2/machines", "", "")

	c.servers[2].expect(t, "204", "PUT", "/v2/members/"+added.ID, "", body)
	c.servers[2].expect(t, "409", "PUT", "/v2/members/"+added.ID, "", fmt.Sprintf(`{"peerURLs":[%q]}`, c.urls[0]))
	c.servers[2].expect(t, "404", "PUT", "/v2/members/12", "", `{"peerURLs":["http://127.0.0.1:1"]}`)
	c.servers[2].expect(t, "400", "PUT", "/v2/members/"+added.ID, "", `{"peerURLs":["http://127.0.0.1"]}`)
	c.servers[1].expect(t, "204", "DELETE", "/v2/members/"+added.ID, "", "")
	c.servers[0].expect(t, `410 {"message":"Member permanently removed: `+added.ID, "DELETE", "/v2/members/"+added.ID, "", "")
	gone := c.servers[3]
	c.servers = c.servers[:3]
	<-gone.Done()
	gone.http.Close()
	gone.auth.Close()
}

func TestStatisticsTellOfTheMembersBehindThem(t *testing.T) {
	c := newCluster(t, 3)
	for i := range 10 {
		c.servers[i%3].expect(t, "201", "PUT", fmt.Sprintf("/v2/keys/k%d", i), "", "value=1&ttl=1")
	}
	for _, s := range c.servers {
		for i := range 10 {
			s.expect(t, "404", "GET", fmt.Sprintf("/v2/keys/k%d", i), "", "") // expired
		}
		leads := s.Leader() == s.ID()
		id := fmt.Sprintf(`"id":"%x"`, s.ID())
		self := s.ask(t, "GET", "/v2/stats/self", "", "")
		state := map[bool]string{true: "StateLeader", false: "StateFollower"}[leads]
		if !strings.Contains(self, id) || !strings.Contains(self, state) || !strings.Contains(self, fmt.Sprintf(`"leader":"%x"`, s.Leader())) {
			t.Errorf("self: %s, want %s, %s, leader %x", self, id, state, s.Leader())
		}
		s.expect(t, `200 {"getsSuccess":`, "GET", "/v2/stats/store", "", "")
		if store := s.ask(t, "GET", "/v2/stats/store", "", ""); !strings.Contains(store, `"expireCount":10`) {
			t.Errorf("store: %s, want 10 expired", store)
		}
		if !leads {
			s.expect(t, `403 {"message":"not current leader"}`, "GET", "/v2/stats/leader", "", "")
			continue
		}
		checkFollowers(t, c, s)
	}
}

// checkFollowers waits until the leader has heard enough of its followers.
func checkFollowers(t *testing.T, c *cluster, leader *server) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		answer := leader.ask(t, "GET", "/v2/stats/leader", "", "")
		var stats struct {
			Followers map[string]struct {
				Latency struct{ Current, Minimum, Maximum float64 }
				Counts  struct{ Success, Fail int }
			}
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(answer, "200 ")), &stats); err != nil {
			t.Fatalf("leader: %s: %v", answer, err)
		}
		heard := 0
		for _, s := range c.servers {
			if f := stats.Followers[fmt.Sprintf("%x", s.ID())]; s != leader && f.Counts.Success > 0 && f.Latency.Minimum > 0 && f.Latency.Maximum < 60_000 {
				heard++
			}
		}
		if heard == 2 && len(stats.Followers) == 2 {
			return
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the leader tells of its followers: %s", answer)
		}
	}
}
