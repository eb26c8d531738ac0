package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
)

// logLevel returns what the original's name of a level stands for.
func logLevel(name string) slog.Level {
	switch name {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	case "dpanic", "panic", "fatal":
		return slog.LevelError + 4 // nothing is logged there
	default:
		return slog.LevelInfo
	}
}

// logger makes the logger. Its level may change later. Files are left open: they
// end with the process.
func (f *loggingFlags) logger(stdout, stderr io.Writer) (*slog.Logger, *slog.LevelVar, error) {
	level := new(slog.LevelVar)
	level.Set(logLevel(f.LogLevel))
	if f.Debug {
		level.Set(slog.LevelDebug)
	}
	var outputs []io.Writer
	for name := range strings.SplitSeq(f.LogOutputs, ",") {
		switch name = strings.TrimSpace(name); name {
		case "default", "stderr", "systemd/journal": // what is written there ends up in the journal
			outputs = append(outputs, stderr)
		case "stdout":
			outputs = append(outputs, stdout)
		default:
			file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
			if err != nil {
				return nil, nil, fmt.Errorf("--log-outputs: %w", err)
			}
			outputs = append(outputs, file)
		}
	}
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(io.MultiWriter(outputs...), opts)
	if f.Logger == "zap" {
		h = slog.NewJSONHandler(io.MultiWriter(outputs...), opts)
	}
	return slog.New(h), level, nil
}

// profiler serves profiles; nil unless they are asked for.
func (f *loggingFlags) profiler() http.Handler {
	if !f.EnablePprof {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
