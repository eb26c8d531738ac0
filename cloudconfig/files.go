package cloudconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	defaultMode fs.FileMode = 0o644

	// maxDecoded bounds what compressed contents may grow to, all files
	// together.
	maxDecoded = 64 << 20
)

// fileText is an item of write_files as it was written.
type fileText struct {
	at                                          place // of the item
	path, content, encoding, permissions, owner string
	contentAt, pathAt                           place
}

// fileTexts takes write_files.
func fileTexts() target {
	return target{want: "[]struct", take: func(d *decoder, at place) bool {
		var f fileText
		fields := []field{ // of one item after the other
			{key: "path", to: placed(&f.pathAt, text(&f.path))},
			{key: "content", to: placed(&f.contentAt, text(&f.content))},
			{key: "encoding", to: text(&f.encoding), valid: validEncoding},
			{key: "permissions", to: text(&f.permissions), valid: validPermissions, check: checkPermissions},
			{key: "owner", to: text(&f.owner), check: checkOneLine},
		}
		d.files = slices.Grow(d.files, len(at.value.Content))
		return d.items(at, func() { d.files = nil }, func(item place) bool {
			if item.value.Kind != yaml.MappingNode {
				return false
			}
			f = fileText{at: item, contentAt: item, pathAt: item}
			d.mapping(item.value, item.path, fields)
			d.files = append(d.files, f)
			return true
		}, "struct")
	}}
}

// placed notes where a target's key stands.
func placed(where *place, to target) target {
	return target{want: to.want, take: func(d *decoder, at place) bool {
		*where = at
		return to.take(d, at)
	}}
}

// key is where a key of an item stands, or the item if it has no such key.
func (at place) key(item place, name string) place {
	return place{line: at.line, column: at.column, path: item.path + "." + name}
}

// finishFiles makes the Config's files of the items of write_files.
func (d *decoder) finishFiles() {
	d.config.WriteFiles = slices.Grow(d.config.WriteFiles, len(d.files))
	for i := range d.files {
		f := &d.files[i]
		name := path.Join("/", f.path)
		if name == "/" {
			d.refuse(rulePaths, f.pathAt.key(f.at, "path"), fmt.Sprintf("%q does not name a file", f.path))
			continue
		}
		if dir := path.Dir(name); dir == "/usr" || strings.HasPrefix(dir, "/usr/") {
			d.note(rulePaths, SeverityError, f.pathAt, "file cannot be written to a read-only filesystem")
		}
		content, err := d.decodeContent(f.content, f.encoding)
		if err != nil {
			d.fail(f.contentAt.key(f.at, "content"), fmt.Sprintf("contents of %s: %v", name, err))
			d.note(ruleContents, SeverityError, f.contentAt, "content cannot be decoded as %q", f.encoding)
			continue
		}
		mode, _ := parsePermissions(f.permissions) // checked when it was read
		d.config.WriteFiles = append(d.config.WriteFiles, File{Path: name, Content: content, Mode: mode, Owner: f.owner})
	}
}

// decodeContent undoes an encoding: base64, gzip, or gzip within base64.
func (d *decoder) decodeContent(content, encoding string) (string, error) {
	if encoding == "" {
		return content, nil
	}
	if !validEncoding.MatchString(encoding) {
		return "", fmt.Errorf("unsupported encoding %q", encoding)
	}
	if strings.HasSuffix(encoding, "64") {
		raw, err := base64.StdEncoding.DecodeString(stripBlanks(content))
		if err != nil {
			return "", fmt.Errorf("unable to decode base64: %w", err)
		}
		content = string(raw)
	}
	if strings.HasPrefix(encoding, "gz") {
		raw, err := gunzip(content, maxDecoded-d.decoded)
		if err != nil {
			return "", fmt.Errorf("unable to decode gzip: %w", err)
		}
		content = raw
	}
	d.decoded += int64(len(content))
	if d.decoded > maxDecoded {
		return "", errTooLarge
	}
	return content, nil
}

var errTooLarge = fmt.Errorf("contents of all files together exceed %d MiB", maxDecoded>>20)

// gunzip decompresses content and checks it to its end. It stops when the
// result is longer than most bytes.
func gunzip(content string, most int64) (string, error) {
	r, err := gzip.NewReader(strings.NewReader(content))
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, io.LimitReader(r, max(most, 0)+1)); err != nil {
		return "", err
	}
	if int64(out.Len()) > most {
		return "", errTooLarge
	}
	return out.String(), nil
}

func checkPermissions(text string) error {
	_, err := parsePermissions(text)
	return err
}

// parsePermissions reads octal permission bits. Set-uid, set-gid and sticky
// bits are dropped, as the original drops them.
func parsePermissions(text string) (fs.FileMode, error) {
	if text == "" {
		return defaultMode, nil
	}
	bits, err := strconv.ParseInt(text, 8, 32)
	if err != nil || bits < 0 {
		if errors.Is(err, strconv.ErrRange) {
			return 0, fmt.Errorf("file permissions %q are out of range", text)
		}
		return 0, fmt.Errorf("unable to parse file permissions %q as an octal number", text)
	}
	return fs.FileMode(bits) & fs.ModePerm, nil
}
