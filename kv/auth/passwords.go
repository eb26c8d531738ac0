package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// bcryptCost is the original's.
const bcryptCost = 10

// maxBcrypt is how much of a password bcrypt takes.
const maxBcrypt = 72

// mac stands for a password in memory.
type mac [sha256.Size]byte

// passwords makes and checks hashes. Its methods are safe for concurrent use.
//
//	check --remembered?--> done
//	      --else--> join the check of the same password, or begin it:
//	                wait for a slot --> bcrypt --> remember if right
type passwords struct {
	cost       int
	key        [32]byte // of the macs; new in each process
	slots      chan struct{}
	maxWaiting int

	mu      sync.Mutex
	right   map[string]mac // by the hash that it fits
	checks  map[checkKey]*check
	waiting int // for slots
}

type checkKey struct {
	hash string
	mac  mac
}

// check is a check of a password under way. Its fields are set when done is
// closed.
type check struct {
	done chan struct{}
	ok   bool
	err  error
}

func newPasswords(cost, concurrent, maxWaiting int) *passwords {
	if concurrent == 0 {
		concurrent = max(1, runtime.GOMAXPROCS(0)/2)
	}
	p := &passwords{
		cost: cost, slots: make(chan struct{}, concurrent), maxWaiting: maxWaiting,
		right: make(map[string]mac), checks: make(map[checkKey]*check),
	}
	_, _ = rand.Read(p.key[:]) // which never fails
	return p
}

// check reports whether a password fits a hash.
func (p *passwords) check(ctx context.Context, hash, password string) (bool, error) {
	k := checkKey{hash: hash, mac: p.sum(password)}
	for {
		p.mu.Lock()
		if known, ok := p.right[hash]; ok && hmac.Equal(known[:], k.mac[:]) {
			p.mu.Unlock()
			return true, nil
		}
		c, joined := p.checks[k]
		if !joined {
			c = &check{done: make(chan struct{})}
			p.checks[k] = c
		}
		p.mu.Unlock()
		if !joined {
			p.perform(ctx, k, c, password)
			return c.ok, c.err
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		// Who began the check may have given up for reasons of its own.
		if c.err == nil || errors.Is(c.err, ErrBusy) {
			return c.ok, c.err
		}
	}
}

func (p *passwords) sum(password string) (m mac) {
	h := hmac.New(sha256.New, p.key[:])
	h.Write([]byte(password))
	h.Sum(m[:0])
	return m
}

// perform does a check that others may have joined.
func (p *passwords) perform(ctx context.Context, k checkKey, c *check, password string) {
	c.err = p.limited(ctx, func() error {
		err := bcrypt.CompareHashAndPassword([]byte(k.hash), clip(password))
		c.ok = err == nil
		return nil // a hash that is none fits no password
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.checks, k)
	if c.ok {
		p.right[k.hash] = k.mac
	}
	close(c.done)
}

// hash makes the hash to store for a password.
func (p *passwords) hash(ctx context.Context, password string) (hash string, err error) {
	err = p.limited(ctx, func() error {
		b, err := bcrypt.GenerateFromPassword(clip(password), p.cost)
		if err != nil {
			return fmt.Errorf("hash password: %w", err)
		}
		hash = string(b)
		return nil
	})
	return hash, err
}

func clip(password string) []byte {
	return []byte(password[:min(len(password), maxBcrypt)])
}

// limited runs f when there is a slot for it.
func (p *passwords) limited(ctx context.Context, f func() error) error {
	select {
	case p.slots <- struct{}{}:
	default:
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	defer func() { <-p.slots }()
	return f()
}

// wait takes a slot as soon as there is one.
func (p *passwords) wait(ctx context.Context) error {
	p.mu.Lock()
	if p.waiting >= p.maxWaiting {
		p.mu.Unlock()
		return ErrBusy
	}
	p.waiting++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiting--
	}()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget drops what is remembered of hashes that no user has any more, so what
// is remembered is never more than there are users.
func (p *passwords) forget(users map[string]account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.right) == 0 {
		return
	}
	stored := make(set, len(users))
	for _, u := range users {
		stored[u.Hash] = struct{}{}
	}
	for hash := range p.right {
		if !stored.has(hash) {
			delete(p.right, hash)
		}
	}
}
