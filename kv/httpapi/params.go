package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strakeproject/strake/kv"
)

// maxTTL caps the time to live so that no expiry overflows 64-bit nanoseconds
// since 1970.
const maxTTL = 200 * 365 * 24 * time.Hour

// param is a request parameter that the key space knows. Others are ignored.
type param int

// In the order in which they are checked.
const (
	prevIndex param = iota
	waitIndex
	recursive
	sorted
	wait
	dir
	quorum
	stream
	prevValue
	noValueOnSuccess
	ttl
	prevExist
	refresh
	value
	numParams
)

var paramNames = [numParams]string{
	"prevIndex", "waitIndex", "recursive", "sorted", "wait", "dir", "quorum",
	"stream", "prevValue", "noValueOnSuccess", "ttl", "prevExist", "refresh",
	"value",
}

// form holds the first value of each known parameter.
type form struct {
	values [numParams]string
	given  [numParams]bool
}

// params are the checked parameters of a key request.
type params struct {
	recursive, sorted, wait, dir, quorum, stream bool
	noValueOnSuccess, refresh                    bool

	prevIndex, waitIndex uint64 // 0 is "not given"
	prevValue, value     string // empty is "not given"

	prevExistGiven, prevExist bool

	ttl time.Duration // 0 is "for ever"
}

// conditional reports whether the write depends on the node's value or index.
func (q *params) conditional() bool { return q.prevValue != "" || q.prevIndex > 0 }

func (q *params) condition() kv.Condition {
	return kv.Condition{PrevValue: q.prevValue, PrevIndex: q.prevIndex}
}

// takesForm reports whether parameters may also come in the body.
func takesForm(method string) bool { return method == http.MethodPut || method == http.MethodPost }

// decode checks the parameters of a key request, those in the body first. The
// order of the checks is fixed, and all of them apply to every method.
func decode(method, query, body string) (params, error) {
	var f form
	err := f.parse(body)
	if err == nil {
		err = f.parse(query)
	}
	if err != nil {
		return params{}, &kv.Error{Code: kv.CodeInvalidForm, Cause: err.Error()}
	}
	return f.check(method)
}

// parse adds the parameters of a query string or form body; a parameter that
// is there already keeps its value.
func (f *form) parse(s string) error {
	for s != "" {
		var pair string
		pair, s, _ = strings.Cut(s, "&")
		if pair == "" {
			continue
		}
		if strings.Contains(pair, ";") {
			return errors.New("invalid semicolon separator in query")
		}
		name, val, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return err
		}
		val, err = url.QueryUnescape(val)
		if err != nil {
			return err
		}
		for p, known := range paramNames {
			if name == known && !f.given[p] {
				f.values[p], f.given[p] = val, true
			}
		}
	}
	return nil
}

// check reads parameters, or says which one is wrong.
func (f *form) check(method string) (params, error) {
	c := checker{form: f}
	q := params{
		prevIndex: c.uint(prevIndex),
		waitIndex: c.uint(waitIndex),
		recursive: c.bool(recursive),
		sorted:    c.bool(sorted),
		wait:      c.bool(wait),
		dir:       c.bool(dir),
		quorum:    c.bool(quorum),
		stream:    c.bool(stream),
	}
	if q.wait && method != http.MethodGet {
		c.fail(kv.CodeInvalidField, `"wait" can only be used with GET requests`)
	}
	if q.prevValue = f.values[prevValue]; f.given[prevValue] && q.prevValue == "" {
		c.fail(kv.CodePrevValueRequired, `"prevValue" cannot be empty`)
	}
	q.noValueOnSuccess = c.bool(noValueOnSuccess)
	q.ttl = c.ttl()
	q.prevExistGiven, q.prevExist = f.given[prevExist], c.bool(prevExist)
	q.refresh = c.bool(refresh)
	q.value = f.values[value]
	if q.refresh && q.value != "" {
		c.fail(kv.CodeRefreshValue, "A value was provided on a refresh")
	}
	if q.refresh && q.ttl == 0 {
		c.fail(kv.CodeRefreshTTLRequired, "No TTL value set")
	}
	if c.err != nil {
		return params{}, c.err
	}
	return q, nil
}

// checker converts parameters and keeps the first failure.
type checker struct {
	form *form
	err  error
}

func (c *checker) fail(code kv.Code, cause string) {
	if c.err == nil {
		c.err = &kv.Error{Code: code, Cause: cause}
	}
}

func (c *checker) uint(p param) uint64 {
	if !c.form.given[p] {
		return 0
	}
	n, err := strconv.ParseUint(c.form.values[p], 10, 64)
	if err != nil {
		c.fail(kv.CodeIndexNaN, `invalid value for "`+paramNames[p]+`"`)
	}
	return n
}

func (c *checker) bool(p param) bool {
	if !c.form.given[p] {
		return false
	}
	b, err := strconv.ParseBool(c.form.values[p])
	if err != nil {
		name := paramNames[p]
		if p != prevExist && p != refresh { // which the original does not quote
			name = `"` + name + `"`
		}
		c.fail(kv.CodeInvalidField, "invalid value for "+name)
	}
	return b
}

// ttl returns the time to live. One of no seconds becomes the shortest there
// is, since zero stands for "for ever".
func (c *checker) ttl() time.Duration {
	s := c.form.values[ttl]
	if s == "" {
		return 0
	}
	seconds, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		c.fail(kv.CodeTTLNaN, `invalid value for "ttl"`)
		return 0
	}
	limit := uint64(maxTTL / time.Second)
	return max(time.Duration(min(seconds, limit))*time.Second, 1)
}

// formBody returns the body if it is a form, and nothing for any other type.
func formBody(r *http.Request, scratch *[]byte, limit int64) (string, error) {
	contentType := r.Header.Get("Content-Type")
	if contentType == "" {
		return "", nil
	}
	if contentType != formType { // which spares the parser, most of the time
		mediaType, _, err := mime.ParseMediaType(contentType)
		if err != nil {
			return "", err
		}
		if mediaType != formType {
			return "", nil
		}
	}
	if r.Body == nil { // only in a request that no server has read
		return "", nil
	}
	if r.ContentLength > limit {
		return "", errTooLarge
	}
	return readForm(r.Body, scratch, limit)
}

const formType = "application/x-www-form-urlencoded"

var errTooLarge = errors.New("http: POST too large")

// readForm reads a body into scratch memory, and returns a copy of it.
func readForm(body io.Reader, scratch *[]byte, limit int64) (string, error) {
	b := (*scratch)[:0]
	defer func() { *scratch = b }()
	for {
		b = slices.Grow(b, 512)
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return "", errTooLarge
		case err == io.EOF:
			return string(b), nil
		case err != nil:
			return "", err
		}
	}
}
