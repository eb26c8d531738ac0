package httppeer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"sync"
)

// Revocations are the certificates that the revocation lists in a file name, each
// those of its issuer. It does not matter how old a list is. The file is looked at
// for each check and read again when it has changed. They are safe for concurrent
// use, and may serve several TLS.
type Revocations struct {
	path string

	mu     sync.Mutex
	stamps stamps                 // of the file when it was read last; protected by mu
	lists  []*x509.RevocationList // nil if it could not be used; protected by mu
}

// LoadRevocations reads a file of revocation lists in PEM, or of one in DER. It
// fails if the file cannot be used, or holds none.
func LoadRevocations(path string) (*Revocations, error) {
	r := &Revocations{path: path}
	if _, err := r.current(); err != nil {
		return nil, err
	}
	return r, nil
}

// current returns what the file lists now. A file that could not be used is read
// again each time.
func (r *Revocations) current() ([]*x509.RevocationList, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := stampsOf(r.path)
	if r.lists != nil && now.same(r.stamps) {
		return r.lists, nil
	}
	lists, err := readRevocations(r.path)
	r.stamps, r.lists = now, lists
	return lists, err
}

// readRevocations returns at least one list, or none and an error.
func readRevocations(path string) ([]*x509.RevocationList, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ders := [][]byte{b}
	if bytes.Contains(b, []byte("-----BEGIN")) {
		ders = nil
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "X509 CRL" {
				ders = append(ders, block.Bytes)
			}
		}
		// Decode passes over what it cannot read.
		if n := bytes.Count(b, []byte("-----BEGIN X509 CRL-----")); n > len(ders) {
			return nil, fmt.Errorf("%s: %d of %d revocation lists are damaged", path, n-len(ders), n)
		}
	}
	var lists []*x509.RevocationList
	for _, der := range ders {
		list, err := x509.ParseRevocationList(der)
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

// Check refuses whoever shows a certificate that its issuer has revoked. While the
// file cannot be used it refuses all, since it might be any. It is meant for
// [tls.Config].VerifyConnection.
func (r *Revocations) Check(c tls.ConnectionState) error {
	lists, err := r.current()
	if err != nil {
		return fmt.Errorf("certificates that were revoked are not known: %w", err)
	}
	for _, cert := range c.PeerCertificates {
		for _, list := range lists {
			if revokes(list, cert) {
				return fmt.Errorf("certificate of %s, serial number %x, was revoked", cert.Subject, cert.SerialNumber)
			}
		}
	}
	return nil
}

func revokes(list *x509.RevocationList, cert *x509.Certificate) bool {
	if !bytes.Equal(list.RawIssuer, cert.RawIssuer) {
		return false
	}
	for i := range list.RevokedCertificateEntries {
		if list.RevokedCertificateEntries[i].SerialNumber.Cmp(cert.SerialNumber) == 0 {
			return true
		}
	}
	return false
}
