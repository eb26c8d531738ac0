package httppeer_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeTree writes files so that a reader finds each as it was or as it is.
func writeTree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		next := path + ".next"
		if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
}

func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestSnapshotArrivesAndReusesWhatIsThere(t *testing.T) {
	a, b := pair(t)
	files := map[string]string{
		"small": "x", "empty": "", "sub/dir/deep": "y",
		"large": string(bytes.Repeat([]byte("0123456789"), 100_000)),
	}
	from := t.TempDir()
	writeTree(t, from, files)
	b.rec.dir = t.TempDir()
	// Left from an attempt that broke off: one file whole, one cut, one of
	// another snapshot.
	writeTree(t, b.rec.dir, map[string]string{"small": "x", "large": "0123", "old": "z"})
	whole, err := os.Stat(filepath.Join(b.rec.dir, "small"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SendSnapshot(context.Background(), 0xb, []byte("head"), from); err != nil {
		t.Fatal(err)
	}
	got := readTree(t, b.rec.dir)
	for name, want := range files {
		if got[name] != want {
			t.Errorf("%s has %d bytes, want %d", name, len(got[name]), len(want))
		}
	}
	if len(got) != len(files) {
		t.Errorf("%d files arrived, want %d", len(got), len(files))
	}
	if again, err := os.Stat(filepath.Join(b.rec.dir, "small")); err != nil || !os.SameFile(whole, again) {
		t.Errorf("a file that was there whole was sent again (%v)", err)
	}
	if strings.Join(b.rec.heads, " ") != "head" {
		t.Errorf("b took the snapshots %q, want head", b.rec.heads)
	}
}

func TestSnapshotThatIsNotWantedFails(t *testing.T) {
	a, b := pair(t)
	from := t.TempDir()
	writeTree(t, from, map[string]string{"f": "x"})
	err := a.SendSnapshot(context.Background(), 0xb, nil, from)
	if err == nil || !strings.Contains(err.Error(), "not wanted") {
		t.Errorf("send: %v, want the receiver's reason", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.rec.dir = t.TempDir()
	if err := a.SendSnapshot(ctx, 0xb, nil, from); !errors.Is(err, context.Canceled) {
		t.Errorf("send with an ended context: %v, want its error", err)
	}
	if len(b.rec.heads) != 0 {
		t.Errorf("b took %q", b.rec.heads)
	}
}
