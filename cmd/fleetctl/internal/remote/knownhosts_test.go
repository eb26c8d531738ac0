package remote

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// testKey makes a key of a number, always the same.
func testKey(t testing.TB, n byte) ssh.PublicKey {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	key, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func line(t testing.TB, names string, n byte) string {
	return names + " " + string(ssh.MarshalAuthorizedKey(testKey(t, n)))
}

func TestHostsAreJudgedByTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	text := "# people write comments\n\n" +
		line(t, "10.0.0.1,alias", 1) +
		line(t, "10.0.0.1", 2) +
		line(t, "*.example.org,!bad.example.org", 3) +
		line(t, "[10.0.0.9]:2222", 4) +
		line(t, "[::1]", 5) +
		line(t, "@revoked 10.0.0.7", 6) +
		line(t, "|1|aaaa|bbbb", 7) +
		"10.0.0.8 no key\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		address string
		key     byte
		want    string
	}{
		{"10.0.0.1:22", 1, ""},
		{"10.0.0.1:22", 2, ""},
		{"alias:22", 1, ""},
		{"alias:22", 2, "host key mismatch"},
		{"10.0.0.1:2222", 1, "unauthorized host"},
		{"10.0.0.9:2222", 4, ""},
		{"10.0.0.9:22", 4, "unauthorized host"},
		{"[::1]:22", 5, ""},
		{"a.example.org:22", 3, ""},
		{"bad.example.org:22", 3, "unauthorized host"},
		{"10.0.0.7:22", 6, "unauthorized host"},
		{"10.0.0.8:22", 1, "unauthorized host"},
	} {
		var out strings.Builder
		k := KnownHosts{Path: path, Out: &out, Ask: func() bool { return false }}
		got := ""
		if err := k.check(c.address, testKey(t, c.key)); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s with key %d: got %q, want %q\n%s", c.address, c.key, got, c.want, &out)
		}
		if n := strings.Count(out.String(), "WARN "); n != 3 {
			t.Errorf("%s: %d lines are warned of, want 3", c.address, n)
		}
	}
}

func TestATrustedHostIsRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "known_hosts")
	asked := 0
	var out strings.Builder
	k := KnownHosts{Path: path, Out: &out, Ask: func() bool { asked++; return true }}
	for range 2 {
		if err := k.check("10.0.0.1:2222", testKey(t, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once\n%s", asked, &out)
	}
	if got := k.algorithms("10.0.0.1:2222"); len(got) != 1 || got[0] != ssh.KeyAlgoED25519 {
		t.Errorf("algorithms: got %v, want that of the known key", got)
	}
	if got := k.algorithms("10.0.0.2:22"); got != nil {
		t.Errorf("algorithms of an unknown host: got %v, want any", got)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: got %v, %v, want mode 0700", info, err)
	}
}

func FuzzKnownHosts(f *testing.F) {
	f.Add("10.0.0.1 ssh-ed25519 AAAA\n", "10.0.0.1:22")
	f.Add(line(f, "[a]:1,*,!x", 1), "a:1")
	f.Add("|1|x\n@y\n#\n[", "[")
	path := filepath.Join(f.TempDir(), "known_hosts")
	f.Fuzz(func(t *testing.T, text, address string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		k := KnownHosts{Path: path, Out: &out, Ask: func() bool { return false }}
		_ = k.check(address, testKey(t, 200)) // no fault whatever is in the file
		k.algorithms(address)
	})
}

func TestQuoteMakesOneWord(t *testing.T) {
	if got, want := Quote("it's here"), `'it'\''s here'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
