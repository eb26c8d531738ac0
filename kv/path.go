package kv

import (
	"path"
	"strings"
)

// Clean returns the one spelling of a key: absolute, without empty, "." or
// ".." segments and without a trailing slash. The root is "/". Segments may
// hold any byte but a slash.
func Clean(key string) string { return path.Clean("/" + key) }

// Join cleans the key made of the given parts.
func Join(parts ...string) string { return Clean(strings.Join(parts, "/")) }

// Parent returns the key of the directory that holds key; the root is its own
// parent. Key must be clean.
func Parent(key string) string {
	if i := strings.LastIndexByte(key, '/'); i > 0 {
		return key[:i]
	}
	return "/"
}

// Base returns the last segment of key, which must be clean; that of the root
// is empty.
func Base(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// Hidden reports whether listings of its parent leave the key out: its last
// segment begins with an underscore.
func Hidden(key string) bool { return strings.HasPrefix(Base(key), "_") }

// Below reports whether key is dir or lies under it. Both must be clean.
func Below(key, dir string) bool {
	if dir == "/" {
		return true
	}
	return strings.HasPrefix(key, dir) && (len(key) == len(dir) || key[len(dir)] == '/')
}
