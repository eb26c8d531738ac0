package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// revocations are the certificates that a file of revocation lists names. The file
// is read again when it has changed. They are safe for concurrent use.
type revocations struct {
	path string

	mu       sync.Mutex
	modified time.Time              // of the file that was read; protected by mu
	size     int64                  // likewise
	lists    []*x509.RevocationList // protected by mu
}

// loadRevocations reads the file of revocation lists that a flag names, in PEM or
// one in DER; nil if it names none.
func loadRevocations(flag, path string) (*revocations, error) {
	if path == "" {
		return nil, nil
	}
	r := &revocations{path: path}
	if _, err := r.current(); err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return r, nil
}

// current returns what the file lists now.
func (r *revocations) current() ([]*x509.RevocationList, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.path)
	if err != nil {
		return nil, err
	}
	if r.lists == nil || r.changed(info) {
		lists, err := readRevocations(r.path)
		if err != nil {
			return nil, err
		}
		r.lists, r.modified, r.size = lists, info.ModTime(), info.Size()
	}
	return r.lists, nil
}

func (r *revocations) changed(info fs.FileInfo) bool {
	return !info.ModTime().Equal(r.modified) || info.Size() != r.size
}

func readRevocations(path string) (lists []*x509.RevocationList, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(b, []byte("-----BEGIN")) {
		list, err := x509.ParseRevocationList(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return append(lists, list), nil
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		lists = append(lists, list)
	}
	if lists == nil {
		return nil, fmt.Errorf("%s: no revocation list in it", path)
	}
	return lists, nil
}

// check refuses whoever shows a certificate that its authority has revoked. While
// the file cannot be read it refuses all, since it might be any.
func (r *revocations) check(c tls.ConnectionState) error {
	lists, err := r.current()
	if err != nil {
		return fmt.Errorf("certificates that were revoked are not known: %w", err)
	}
	for _, cert := range c.PeerCertificates {
		for _, list := range lists {
			if !bytes.Equal(list.RawIssuer, cert.RawIssuer) {
				continue
			}
			for i := range list.RevokedCertificateEntries {
				if list.RevokedCertificateEntries[i].SerialNumber.Cmp(cert.SerialNumber) == 0 {
					return fmt.Errorf("certificate of %s, serial number %x, was revoked", cert.Subject, cert.SerialNumber)
				}
			}
		}
	}
	return nil
}

// refuse has a server's settings refuse those whose certificates were revoked.
func (r *revocations) refuse(c *tls.Config) *tls.Config {
	if r == nil {
		return c
	}
	return tuned(c, func(c *tls.Config) {
		verify := c.VerifyConnection // of httppeer.TLS, which always has one
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			if err := verify(cs); err != nil {
				return err
			}
			return r.check(cs)
		}
	})
}
