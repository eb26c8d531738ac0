package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/strakeproject/strake/cmd/internal/goflags"
)

func TestTheDefaultsServeTheOldPortsToo(t *testing.T) {
	s, err := parse(t).settle()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what string
		got  []string
		want string
	}{
		{"clients", s.clientListen, "http://localhost:2379,http://localhost:4001"},
		{"advertised to clients", s.member.AdvertiseClientURLs, "http://localhost:2379,http://localhost:4001"},
		{"peers", s.peerListen, "http://localhost:2380,http://localhost:7001"},
		{"advertised to peers", s.member.AdvertisePeerURLs, "http://localhost:2380,http://localhost:7001"},
	} {
		if got := strings.Join(tt.got, ","); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
	if s.member.DataDir != "default.etcd" {
		t.Errorf("data directory %s", s.member.DataDir)
	}
}

func TestAddressesOfOldStandForURLs(t *testing.T) {
	s, err := parse(t, "-addr=10.0.0.1:4001", "-peer-addr=10.0.0.1:7001", "-peer-bind-addr=0.0.0.0:7001", "-ca-file=ca").settle()
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Concat(s.member.AdvertiseClientURLs, s.clientListen, s.member.AdvertisePeerURLs, s.peerListen)
	want := []string{"http://10.0.0.1:4001", "http://10.0.0.1:4001", "http://10.0.0.1:7001", "http://0.0.0.0:7001"}
	if !slices.Equal(got, want) {
		t.Errorf("URLs are %v, want %v", got, want)
	}
	if !s.Security.ClientCertAuth || s.Security.TrustedCAFile != "ca" {
		t.Errorf("client certificates: %v by %s", s.Security.ClientCertAuth, s.Security.TrustedCAFile)
	}
	for _, args := range [][]string{
		{"--addr=10.0.0.1:4001", "--advertise-client-urls=http://10.0.0.1:4001"},
		{"--peer-bind-addr=0.0.0.0:7001", "--listen-peer-urls=http://0.0.0.0:7001"},
		{"--peer-addr=10.0.0.1"},
	} {
		if _, err := parse(t, args...).settle(); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestAValueMayBeginWithADash(t *testing.T) {
	f := parse(t, "-initial-cluster-token", "-odd-", "-debug")
	if token := f.Clustering.InitialClusterToken; token != "-odd-" || !f.Logging.Debug {
		t.Errorf("got token %q and debug %v, want %q and true", token, f.Logging.Debug, "-odd-")
	}
}

func TestIgnoredFlagsLeaveTheOthersAlone(t *testing.T) {
	env := map[string]string{"ETCD_ENABLE_V2": "true", "ETCD_EXPERIMENTAL_X": "1", "ETCD_NAME": "n"}
	args := goflags.Normalize(newParser(&flags{}, &resolver{}).Model.Node, []string{
		"-enable-v2", "--name", "a", "--quota-backend-bytes", "1", "-peers=x,y", "-f", "--pre-vote=false",
		"--experimental-initial-corrupt-check", "--data-dir=d", "--max-wals", "0", "--debug",
	})
	rest, dropped := dropIgnored(args, env)
	if want := []string{"--name=a", "--data-dir=d", "--debug"}; !slices.Equal(rest, want) {
		t.Errorf("left are %q, want %q", rest, want)
	}
	want := []string{
		"--enable-v2", "--experimental-initial-corrupt-check", "--f", "--max-wals", "--peers", "--pre-vote",
		"--quota-backend-bytes", "ETCD_ENABLE_V2", "ETCD_EXPERIMENTAL_X",
	}
	if !slices.Equal(dropped, want) {
		t.Errorf("dropped are %q, want %q", dropped, want)
	}
	if len(env) != 1 {
		t.Errorf("variables left are %v", env)
	}
}
