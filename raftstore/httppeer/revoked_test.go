package httppeer_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strakeproject/strake/raftstore"
	"github.com/strakeproject/strake/raftstore/httppeer"
)

// replace moves a new file into the place of an old one, of the same age.
func replace(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chtimes(path+".new", time.Unix(1, 0), time.Unix(1, 0)), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// revokable are settings of a member that shows pair and follows a file of
// revocation lists.
func revokable(t *testing.T, ca *authority, pair tls.Certificate, lists string, log *logBuffer) *httppeer.TLS {
	t.Helper()
	cfg := fileConfig(ca.files(t, "x"))
	cfg.CertFile, cfg.KeyFile = "", ""
	cfg.Certificate = func() (*tls.Certificate, error) { return &pair, nil }
	if lists != "" {
		var err error
		if cfg.Revoked, err = httppeer.LoadRevocations(lists); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Logger = textLog(log)
	return loadTLS(t, cfg)
}

func TestWhoShowsARevokedCertificateIsRefusedWhicheverSideDials(t *testing.T) {
	ca, other := testAuthority(t, "ca"), testAuthority(t, "other")
	pairA, pairB := ca.pair(t, "a"), ca.pair(t, "b")
	none := crl(ca.revoke(t))
	onlyB := crl(ca.revoke(t, pairB))
	for _, c := range []struct {
		name, lists string
		want        string // what a says of b, whoever dials
	}{
		{"nobody", none, ""},
		{"b", onlyB, "certificate of CN=b, serial number"},
		{"b, by the second list", crl(other.revoke(t)) + none + onlyB, "was revoked"},
		{"b, in DER", string(ca.revoke(t, pairB)), "was revoked"},
		{"b's number at another authority", crl(other.revoke(t, pairB)), ""},
		{"it cannot be read", "", "not known: open "},
		{"it is not a list", "x", "not known: "},
		{"there is no list", string(ca.pem), "no revocation list in it"},
		{"the second is damaged", none + strings.Replace(onlyB, "\n", "\n?", 2), "1 of 2 revocation lists are damaged"},
		{"nobody any more", none, ""},
	} {
		lists := filepath.Join(t.TempDir(), "lists")
		replace(t, lists, none)
		log := new(logBuffer)
		a, b := revokable(t, ca, pairA, lists, log), revokable(t, ca, pairB, "", new(logBuffer))
		hostA, hostB := newTLSHost(t, 0xa, httppeer.Config{TLS: a}), newTLSHost(t, 0xb, httppeer.Config{TLS: b})
		if got := leafOf(t, hostB.server.URL, a); got != "b" {
			t.Fatalf("%s: before, a finds %s, want b", c.name, got)
		}
		if replace(t, lists, c.lists); c.lists == "" {
			if err := os.Remove(lists); err != nil {
				t.Fatal(err)
			}
		}
		dialled := leafOf(t, hostB.server.URL, a)
		if c.want == "" && dialled != "b" || c.want != "" && !strings.Contains(dialled, c.want) {
			t.Errorf("%s is revoked: a dials and finds %s, want %q", c.name, dialled, c.want)
		}
		conn, err := tls.Dial("tcp", strings.TrimPrefix(hostA.server.URL, "https://"), b.Client())
		if err == nil {
			// Whether the other side refuses shows in what it answers.
			answer := make([]byte, 4)
			_, errWrite := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
			_, errRead := conn.Read(answer)
			err = errors.Join(errWrite, errRead)
			conn.Close()
		}
		if got := err == nil; got != (c.want == "") {
			t.Errorf("%s is revoked: b dials, let in %v (%v), want %v", c.name, got, err, c.want == "")
		}
		if got := strings.Count(log.String(), "refused"); c.want == "" && got != 0 || c.want != "" && got != 2 {
			t.Errorf("%s is revoked: the log tells %d times of a refusal\n%s", c.name, got, log)
		}
	}
}

func TestAFileOfRevocationsThatIsMendedLetsPeersInAgain(t *testing.T) {
	ca := testAuthority(t, "ca")
	pairA, pairB := ca.pair(t, "a"), ca.pair(t, "b")
	none, onlyB := crl(ca.revoke(t)), crl(ca.revoke(t, pairB))
	lists := filepath.Join(t.TempDir(), "lists")
	replace(t, lists, none)
	a := revokable(t, ca, pairA, lists, new(logBuffer))
	b := newTLSHost(t, 0xb, httppeer.Config{TLS: revokable(t, ca, pairB, "", new(logBuffer))})
	// Size and age are those of the file before, too.
	other := crl(ca.revoke(t, ca.pair(t, "c")))
	if len(other) != len(onlyB) {
		t.Fatalf("lists of %d and %d bytes", len(other), len(onlyB))
	}
	for _, step := range []struct{ lists, want string }{
		{other, "b"}, {onlyB, "was revoked"}, {other, "b"}, {"", "not known"}, {"", "not known"}, {other, "b"},
	} {
		replace(t, lists, step.lists)
		if got := leafOf(t, b.server.URL, a); !strings.Contains(got, step.want) {
			t.Errorf("with lists %q: a finds %s, want %s", step.lists, got, step.want)
		}
	}
}

// The listener is its owner's, who may have given it other settings.
func TestARequestOfARevokedPeerIsRefusedWhateverTheListenerDoes(t *testing.T) {
	ca := testAuthority(t, "ca")
	pairA, pairB := ca.pair(t, "a"), ca.pair(t, "b")
	lists := filepath.Join(t.TempDir(), "lists")
	replace(t, lists, crl(ca.revoke(t)))
	a := &host{Transport: httppeer.New(httppeer.Config{TLS: revokable(t, ca, pairA, lists, new(logBuffer))}), rec: newRecorder()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	loose := revokable(t, ca, pairA, "", new(logBuffer))
	a.server = &httptest.Server{Listener: tls.NewListener(l, loose.Server()), Config: &http.Server{Handler: a}}
	a.server.Start()
	t.Cleanup(a.server.Close)
	t.Cleanup(a.Stop)
	a.member = raftstore.Member{ID: 0xa, PeerURLs: []string{"https://" + l.Addr().String()}, Storage: 1}
	a.start(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: revokable(t, ca, pairB, "", new(logBuffer)).Client()}}
	defer client.CloseIdleConnections()
	for _, c := range []struct{ lists, want string }{
		{crl(ca.revoke(t)), ""}, {crl(ca.revoke(t, pairB)), "403 Forbidden"}, {crl(ca.revoke(t)), ""},
	} {
		replace(t, lists, c.lists)
		_, err := httppeer.Discover(t.Context(), client, a.member.PeerURLs[0])
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestAFileThatListsNothingIsToldAtOnce(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"empty": "", "text": "hello", "cert": string(testAuthority(t, "ca").pem)})
	for name, want := range map[string]string{
		"none": "none: no such file", "empty": "empty: x509: ", "text": "text: x509: ", "cert": "cert: no revocation list in it",
	} {
		if _, err := httppeer.LoadRevocations(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got error %v, want %s", name, err, want)
		}
	}
}
