package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"
)

// newLogger logs in the format of the original: a time and a text.
func newLogger(w io.Writer) *slog.Logger {
	return slog.New(lines{out: log.New(w, "", log.LstdFlags)})
}

// lines is a slog.Handler that writes a line for each record.
type lines struct {
	out   *log.Logger
	attrs string
}

func (lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l lines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(l.attrs)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(" " + a.String())
		return true
	})
	return l.out.Output(0, b.String())
}

func (l lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		l.attrs += " " + a.String()
	}
	return l
}

func (l lines) WithGroup(string) slog.Handler { return l }
