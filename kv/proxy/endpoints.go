package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// endpoint is a client URL of a member.
type endpoint struct {
	url *url.URL

	mu    sync.Mutex
	rests time.Time // until then it is not asked
}

// failed lets the endpoint rest.
func (e *endpoint) failed(wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rests = time.Now().Add(wait)
}

func (e *endpoint) resting() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Now().Before(e.rests)
}

// known counts the endpoints.
func (p *Proxy) known() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.endpoints)
}

// awake returns the endpoints that may be asked now.
func (p *Proxy) awake() []*endpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.endpoints), (*endpoint).resting)
}

// refresh asks the peers for the members. Without an answer all stays as it is.
func (p *Proxy) refresh(ctx context.Context) {
	peerURLs, clientURLs, err := p.findMembers(ctx, p.peerURLs)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		level := slog.LevelDebug
		if !p.lost {
			level = slog.LevelWarn // once, however long it takes
		}
		p.lost = true
		p.cfg.Logger.Log(ctx, level, "proxy: no peer tells its members, will ask again", "err", err)
		return
	}
	if p.lost {
		p.lost = false
		p.cfg.Logger.Info("proxy: the members are known again", "peers", peerURLs)
	}
	if p.cfg.File != "" && !slices.Equal(peerURLs, p.kept) {
		if err := save(p.cfg.File, peerURLs); err != nil {
			p.cfg.Logger.Error("proxy: cannot keep the peer URLs", "file", p.cfg.File, "err", err)
		} else {
			p.kept = peerURLs
		}
	}
	p.peerURLs = peerURLs
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setEndpoints(clientURLs)
}

// setEndpoints is called with mu held. Who rests goes on resting.
func (p *Proxy) setEndpoints(urls []string) {
	var next []*endpoint
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			p.cfg.Logger.Warn("proxy: a member publishes what is no URL", "url", s)
			continue
		}
		i := slices.IndexFunc(p.endpoints, func(e *endpoint) bool { return e.url.String() == s })
		if i >= 0 {
			next = append(next, p.endpoints[i])
		} else {
			next = append(next, &endpoint{url: u})
		}
	}
	rand.Shuffle(len(next), func(i, j int) { next[i], next[j] = next[j], next[i] })
	p.endpoints = next
}

const (
	askTimeout = 5 * time.Second
	// maxMembersBody is more than any list of members takes.
	maxMembersBody = 1 << 20
)

// findMembers asks one peer after the other, and returns the URLs of all members
// in order.
func (p *Proxy) findMembers(ctx context.Context, peers []string) (peerURLs, clientURLs []string, err error) {
	var errs []error
	for _, u := range peers {
		peerURLs, clientURLs, err := p.askPeer(ctx, u)
		if err == nil {
			return peerURLs, clientURLs, nil
		}
		errs = append(errs, err)
	}
	return nil, nil, errors.Join(errs...)
}

func (p *Proxy) askPeer(ctx context.Context, base string) (peerURLs, clientURLs []string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/members", nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := p.peers.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s answers %s", req.URL, resp.Status)
	}
	var members []struct{ PeerURLs, ClientURLs []string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxMembersBody)).Decode(&members); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", req.URL, err)
	}
	for _, m := range members {
		peerURLs = append(peerURLs, m.PeerURLs...)
		clientURLs = append(clientURLs, m.ClientURLs...)
	}
	if len(peerURLs) == 0 {
		return nil, nil, fmt.Errorf("%s knows no member", req.URL)
	}
	slices.Sort(peerURLs)
	slices.Sort(clientURLs)
	return peerURLs, slices.Compact(clientURLs), nil
}

// memory is what Config.File holds, in the original's form.
type memory struct{ PeerURLs []string }

// load reads the peer URLs that were kept; none if there is no file.
func load(file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	var m memory
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("proxy: %s: %w", file, err)
	}
	return m.PeerURLs, nil
}

// save replaces the file as a whole.
func save(file string, peerURLs []string) error {
	b, err := json.Marshal(memory{peerURLs})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	fresh := file + ".bak"
	if err := os.WriteFile(fresh, b, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, file)
}
