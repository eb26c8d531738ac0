package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/url"
	"sync"
	"time"
)

// pageToken says which page of a list comes next. It travels as two 16-bit
// numbers in base64.
type pageToken struct {
	Limit, Page uint16
}

func (t pageToken) encode() string {
	var b []byte
	b = binary.LittleEndian.AppendUint16(b, t.Limit)
	b = binary.LittleEndian.AppendUint16(b, t.Page)
	return base64.URLEncoding.EncodeToString(b)
}

func decodePageToken(s string) (pageToken, error) {
	var t pageToken
	b, err := base64.URLEncoding.DecodeString(s)
	if err != nil {
		return t, err
	}
	err = binary.Read(bytes.NewReader(b), binary.LittleEndian, &t)
	return t, err
}

// wantedPage finds out from a query which page is asked for: the first, or what
// its token says.
func wantedPage(query url.Values, limit uint16) (pageToken, error) {
	tokens, ok := query["nextPageToken"]
	switch {
	case !ok:
		return pageToken{Limit: limit, Page: 1}, nil
	case len(tokens) > 1:
		return pageToken{}, errors.New("too many values for page token")
	}
	t, err := decodePageToken(tokens[0])
	switch {
	case err != nil:
		return t, err
	case t.Limit != limit:
		return t, fmt.Errorf("token limit must be %d", limit)
	case t.Page == 0:
		return t, errors.New("token page must be greater than zero")
	}
	return t, nil
}

// listingAge is how long the pages of a list come from one reading of it.
const listingAge = 10 * time.Second

// listing is a list that clients fetch page by page. Whoever asks for the first
// page has the list read; the pages that follow come from the same reading, so
// that they fit together, and that a long list is not read once for each page.
type listing[T any] struct {
	mu   sync.Mutex
	all  []T       // immutable; nil when it was not read, or fetched to the end
	read time.Time // when all was; both protected by mu
}

// page returns the wanted page, and the token of the next one.
func (l *listing[T]) page(t pageToken, read func() ([]T, error)) ([]T, string, error) {
	all, err := l.current(t, read)
	if err != nil {
		return nil, "", err
	}
	items, next := pageOf(all, t)
	if next == "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = nil
	}
	return items, next, nil
}

func (l *listing[T]) current(t pageToken, read func() ([]T, error)) ([]T, error) {
	l.mu.Lock()
	all := l.all
	old := time.Since(l.read) > listingAge
	l.mu.Unlock()
	if t.Page > 1 && all != nil && !old {
		return all, nil
	}
	begin := time.Now()
	all, err := read()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all, l.read = all, begin
	return all, nil
}

// pageOf cuts a page out of a list, and returns the token of the next one;
// empty at the end. A full last page is followed by an empty one: fleet's
// clients count on nothing else.
func pageOf[T any](all []T, t pageToken) ([]T, string) {
	start := (int(t.Page) - 1) * int(t.Limit)
	end := start + int(t.Limit)
	switch {
	case start >= len(all):
		return nil, ""
	case end > len(all) || t.Page == math.MaxUint16:
		return all[start:min(end, len(all))], ""
	}
	return all[start:end], pageToken{t.Limit, t.Page + 1}.encode()
}
