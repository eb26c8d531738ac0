package client

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLSFiles names PEM files for Config.TLS. CertFile and KeyFile come together or
// not at all.
type TLSFiles struct {
	CertFile, KeyFile string // what this client shows
	CAFile            string // who may have signed what servers show; default: the system's
}

// Config reads the files. The certificate is read again at every connection, so
// that it can be renewed in place; CAFile is not.
func (f TLSFiles) Config() (*tls.Config, error) {
	cfg := &tls.Config{}
	if f.CAFile != "" {
		pem, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no PEM certificate in it", f.CAFile)
		}
	}
	if f.CertFile == "" && f.KeyFile == "" {
		return cfg, nil
	}
	if f.CertFile == "" || f.KeyFile == "" {
		return nil, fmt.Errorf("KeyFile and CertFile must both be present[key: %s, cert: %s]", f.KeyFile, f.CertFile)
	}
	if _, err := f.pair(nil); err != nil {
		return nil, err
	}
	cfg.GetClientCertificate = f.pair
	return cfg, nil
}

func (f TLSFiles) pair(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s: %w", f.CertFile, err)
	}
	return &pair, nil
}
