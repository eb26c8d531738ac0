package member_test

import (
	"bytes"
	"net"
	"os"
	"testing"

	"github.com/strakeproject/strake/kv"
	"github.com/strakeproject/strake/kv/member"
	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// newTLSCluster is newCluster over TLS.
func newTLSCluster(t *testing.T, settings func(i int) httppeer.TLSConfig) *cluster {
	t.Helper()
	return newTunedCluster(t, 3, func(cfg *member.Config) {
		i := int(cfg.Name[1] - '0')
		var err error
		if cfg.PeerTLS, err = httppeer.LoadTLS(settings(i)); err != nil {
			t.Error(err)
			return
		}
		addr := cfg.PeerListeners[0].Addr().String()
		cfg.PeerListeners[0].Close()
		ls, err := member.ListenTLS(t.Context(), []string{"https://" + addr}, cfg.PeerTLS.Server())
		if err != nil {
			t.Error(err)
			return
		}
		cfg.PeerListeners = []net.Listener{ls[0]}
		secure := func(m raftstore.InitialMember) raftstore.InitialMember {
			return raftstore.InitialMember{Name: m.Name, URLs: []string{"https" + m.URLs[0][len("http"):]}}
		}
		for j, m := range cfg.InitialCluster {
			cfg.InitialCluster[j] = secure(m)
		}
		cfg.AdvertisePeerURLs = secure(raftstore.InitialMember{URLs: cfg.AdvertisePeerURLs}).URLs
	})
}

func TestMembersProveToEachOtherWhoTheyAre(t *testing.T) {
	cert, key, err := member.SelfSigned(t.TempDir(), loopback())
	if err != nil {
		t.Fatal(err)
	}
	c := newTLSCluster(t, func(int) httppeer.TLSConfig {
		return httppeer.TLSConfig{CertFile: cert, KeyFile: key, CAFile: cert}
	})
	set(t, c.members[0], "/a", "1")
	wantValue(t, c.members[1], "/a", "1", kv.GetOptions{Quorum: true})
}

func TestMembersWithCertificatesOfTheirOwnTalkUnverified(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	c := newTLSCluster(t, func(i int) httppeer.TLSConfig {
		cert, key, err := member.SelfSigned(dirs[i], loopback())
		if err != nil {
			t.Error(err)
		}
		return httppeer.TLSConfig{CertFile: cert, KeyFile: key, AllowAnonymous: true, Unverified: true}
	})
	set(t, c.members[0], "/a", "1")
	wantValue(t, c.members[1], "/a", "1", kv.GetOptions{Quorum: true})
}

func TestACertificateIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	read := func() []byte {
		cert, _, err := member.SelfSigned(dir, "127.0.0.1", "localhost")
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := read()
	if !bytes.Equal(read(), first) {
		t.Error("a good certificate was replaced")
	}
	if err := os.WriteFile(dir+"/key.pem", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(read(), first) {
		t.Error("a certificate without its key was kept")
	}
}
