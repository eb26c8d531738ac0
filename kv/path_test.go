package kv

import "testing"

func TestCleanGivesOneSpelling(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "/"},
		{"/", "/"},
		{"a", "/a"},
		{"/a/b/", "/a/b"},
		{"//a//b", "/a/b"},
		{"/a/./b/../c", "/a/c"},
		{"/../..", "/"},
		{"/a b/;c", "/a b/;c"},
	} {
		if got := Clean(c.in); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestParentAndBaseSplitAKey(t *testing.T) {
	for _, c := range []struct{ key, parent, base string }{
		{"/", "/", ""},
		{"/a", "/", "a"},
		{"/a/b", "/a", "b"},
		{"/a/_b", "/a", "_b"},
	} {
		if got := Parent(c.key); got != c.parent {
			t.Errorf("Parent(%q) = %q, want %q", c.key, got, c.parent)
		}
		if got := Base(c.key); got != c.base {
			t.Errorf("Base(%q) = %q, want %q", c.key, got, c.base)
		}
	}
}

func TestBelowRespectsSegmentBoundaries(t *testing.T) {
	for _, c := range []struct {
		key, dir string
		want     bool
	}{
		{"/a", "/", true},
		{"/", "/", true},
		{"/a", "/a", true},
		{"/a/b", "/a", true},
		{"/ab", "/a", false},
		{"/a", "/a/b", false},
	} {
		if got := Below(c.key, c.dir); got != c.want {
			t.Errorf("Below(%q, %q) = %v, want %v", c.key, c.dir, got, c.want)
		}
	}
}
