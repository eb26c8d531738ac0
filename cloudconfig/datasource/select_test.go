package datasource_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strakeproject/strake/cloudconfig/datasource"
)

// scripted is a source that comes up after a time, looking takes another.
type scripted struct {
	name  string
	up    time.Duration // negative: never
	takes time.Duration
	err   error // while it is not up
	start time.Time
	looks *[]time.Duration
}

func (s scripted) Type() string { return s.name }

func (s scripted) Available(ctx context.Context) error {
	if s.looks != nil {
		*s.looks = append(*s.looks, time.Since(s.start))
	}
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.up < 0 || time.Since(s.start) < s.up {
		return s.err
	}
	return nil
}

func (s scripted) UserData(context.Context) ([]byte, error) { return nil, nil }

func (s scripted) Metadata(context.Context) (*datasource.Metadata, error) { return nil, nil }

var errAbsent = errors.New("absent")

// TestSelectPrefersTheFirstOfThoseThatAreThere tells which one is taken, and when.
func TestSelectPrefersTheFirstOfThoseThatAreThere(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		sources []scripted
		options datasource.Options
		want    string // empty: none
		after   time.Duration
	}{
		{"both are there", []scripted{{name: "a"}, {name: "b"}}, datasource.Options{}, "a", 0},
		{"the first is slower", []scripted{{name: "a", takes: 500 * ms}, {name: "b"}}, datasource.Options{}, "a", 500 * ms},
		{"the first says no", []scripted{{name: "a", up: -1, takes: 500 * ms, err: errAbsent}, {name: "b"}}, datasource.Options{}, "b", 500 * ms},
		{"the first says nothing", []scripted{{name: "a", takes: time.Hour}, {name: "b", takes: 10 * ms}}, datasource.Options{}, "b", 2010 * ms},
		{"the first says nothing for the grace given", []scripted{{name: "a", takes: time.Hour}, {name: "b"}}, datasource.Options{Grace: 5 * time.Second}, "b", 5 * time.Second},
		{"the second is silent", []scripted{{name: "a"}, {name: "b", takes: time.Hour}}, datasource.Options{}, "a", 0},
		{"one comes up later", []scripted{{name: "a", up: -1, err: datasource.ErrNever}, {name: "b", up: 650 * ms, err: errAbsent}}, datasource.Options{}, "b", 700 * ms},
		{"none will come", []scripted{{name: "a", up: -1, err: datasource.ErrNever}, {name: "b", up: -1, takes: ms, err: datasource.ErrNever}}, datasource.Options{}, "", ms},
		{"none comes", []scripted{{name: "a", up: -1, err: errAbsent}, {name: "b", takes: time.Hour}}, datasource.Options{}, "", 5 * time.Minute},
		{"none comes in the time given", []scripted{{name: "a", up: -1, err: errAbsent}}, datasource.Options{Timeout: time.Second}, "", time.Second},
		{"one is there at the end, another silent", []scripted{{name: "a", takes: time.Hour}, {name: "b"}}, datasource.Options{Timeout: time.Second}, "b", time.Second},
		{"none is given", nil, datasource.Options{}, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var sources []datasource.Source
				for _, s := range tt.sources {
					s.start = start
					sources = append(sources, s)
				}
				source, err := datasource.Select(t.Context(), sources, tt.options)
				got := ""
				if err == nil {
					got = source.Type()
				} else if !errors.Is(err, datasource.ErrNone) || strings.Contains(err.Error(), "\n") {
					t.Errorf("Select() fails with %q, want one line of ErrNone", err)
				}
				if took := time.Since(start); got != tt.want || took != tt.after {
					t.Errorf("Select() = %q (%v) after %v, want %q after %v", got, err, took, tt.want, tt.after)
				}
			})
		})
	}
}

// TestSelectSaysWhyNoneWasTaken names each source and its last answer.
func TestSelectSaysWhyNoneWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		_, err := datasource.Select(t.Context(), []datasource.Source{
			scripted{name: "a", up: -1, err: errAbsent, start: now},
			scripted{name: "b", takes: time.Hour, start: now},
		}, datasource.Options{})
		const want = "no datasource available within 5m0s: a: absent; b: no answer"
		if err == nil || err.Error() != want || !errors.Is(err, errAbsent) {
			t.Errorf("Select() = %v, want %q", err, want)
		}
	})
}

// TestSelectLooksLessAndLessOften at a source that is not there.
func TestSelectLooksLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks []time.Duration
		start := time.Now()
		source := scripted{name: "a", up: 2 * time.Minute, err: errAbsent, start: start, looks: &looks}
		if _, err := datasource.Select(t.Context(), []datasource.Source{source}, datasource.Options{}); err != nil {
			t.Fatal(err)
		}
		// 100 ms, doubled nine times, would be more than 30 s.
		want := []time.Duration{0, 100, 300, 700, 1500, 3100, 6300, 12700, 25500, 51100, 81100, 111100, 141100}
		if len(looks) != len(want) {
			t.Fatalf("looked at %v, want %v ms", looks, want)
		}
		for i, at := range looks {
			if at != want[i]*time.Millisecond {
				t.Errorf("look %d at %v, want %v", i, at, want[i]*time.Millisecond)
			}
		}
	})
}

// TestSelectEndsWithItsContext, without leaving anything behind.
func TestSelectEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errAbsent)
		defer cancel()
		now := time.Now()
		_, err := datasource.Select(ctx, []datasource.Source{
			scripted{name: "a", takes: time.Hour, start: now}, scripted{name: "b", up: -1, err: errors.New("no"), start: now},
		}, datasource.Options{})
		if !errors.Is(err, errAbsent) || time.Since(now) != time.Second {
			t.Errorf("Select() = %v after %v, want the cause of the end after 1s", err, time.Since(now))
		}
	})
}
