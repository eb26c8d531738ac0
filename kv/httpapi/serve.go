package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// Serve answers requests on l until ctx ends, and closes l. Watches then end at
// once, other requests have Config.Grace to finish. It returns nil after the end
// of ctx, and the listener's error otherwise. It may run on several listeners
// at a time.
func (a *API) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.serve(w, r, ctx)
		}),
		MaxHeaderBytes:    a.cfg.MaxHeaderBytes,
		ReadHeaderTimeout: a.cfg.HeaderTimeout,
		ReadTimeout:       a.cfg.ReadTimeout,
		WriteTimeout:      a.cfg.WriteTimeout,
		ConnState:         a.connState,
		IdleTimeout:       a.cfg.IdleTimeout,
		ErrorLog:          slog.NewLogLogger(a.cfg.Logger.Handler(), slog.LevelDebug),
	}
	f := newFront(ctx, a, l)
	var handed sync.WaitGroup
	handed.Go(func() { _ = srv.Serve(f.cold) }) // which ends with srv
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Grace)
		defer cancel()
		f.shut()
		_ = srv.Shutdown(grace)
		f.wait(grace)
	})
	err := srv.Serve(f)
	failed := stop()
	if !failed {
		<-ended
	}
	_ = srv.Close() // what is left by now
	f.end()
	handed.Wait()
	if failed {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// connState gives the slot of a connection back when that ends.
func (a *API) connState(_ net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		<-a.conns
	}
}

// A boundedListener accepts a connection only when there is a slot for it, which
// whoever ends the connection gives back.
type boundedListener struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a slot, then for a connection.
func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
	}
	return conn, err
}

// Close ends Accept.
func (l *boundedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
