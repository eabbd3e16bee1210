package program

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Certificates are what a service shows, replaced while it runs: files of somebody
// else's when they change, its own when they are close to expiry.
type Certificates struct {
	load func(now time.Time) (*tls.Certificate, error)
	now  func() time.Time
	log  *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	checked time.Time
}

// recheck is how often a handshake looks for a change.
const recheck = 10 * time.Second

// NewCertificates loads the first certificate, which must work.
func NewCertificates(load func(time.Time) (*tls.Certificate, error), now func() time.Time, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{load: load, now: now, log: log}
	var err error
	c.current, err = load(now())
	c.checked = now()
	return c, err
}

// Certificate is for tls.Config.GetCertificate.
func (c *Certificates) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= recheck {
		c.reloadLocked(now)
	}
	return c.current, nil
}

// Expires is when the certificate that is shown does.
func (c *Certificates) Expires() time.Time {
	shown, err := c.Certificate(nil)
	if err != nil {
		return time.Time{}
	}
	return shown.Leaf.NotAfter
}

// Reload looks for a change now, as SIGHUP asks for.
func (c *Certificates) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloadLocked(c.now())
}

// reloadLocked keeps the certificate from before when the new one does not work:
// files that are being replaced do not fit for a moment.
func (c *Certificates) reloadLocked(now time.Time) {
	c.checked = now
	fresh, err := c.load(now)
	if err != nil {
		c.log.Error("reload the TLS certificate; the one from before stays", "error", err)
		return
	}
	if !slices.EqualFunc(fresh.Certificate, c.current.Certificate, bytes.Equal) {
		c.current = fresh
		c.log.Info("new TLS certificate", "expires", fresh.Leaf.NotAfter)
	}
}

// LoadCertificate returns a load for files that somebody else writes.
func LoadCertificate(cert, key string) func(time.Time) (*tls.Certificate, error) {
	return func(now time.Time) (*tls.Certificate, error) {
		keyPEM, err := ReadPrivate(key)
		if err != nil {
			return nil, fmt.Errorf("--tls-key: %w", err)
		}
		certPEM, err := os.ReadFile(cert)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			return nil, Advise(fmt.Errorf("--tls-cert %s, --tls-key %s: %w", cert, key, err),
				"give the certificate with its chain, and the private key that it was made for, both in PEM")
		}
		if now.After(pair.Leaf.NotAfter) {
			return nil, Advise(fmt.Errorf("--tls-cert %s expired at %s", cert, pair.Leaf.NotAfter.UTC().Format(time.RFC3339)),
				"have the certificate renewed; if it is in date, correct this machine's clock")
		}
		return &pair, nil
	}
}

// ReadPrivate reads a file that holds a secret, and refuses one that others can
// read or change. A group may read it: that is how secrets are mounted.
func ReadPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o037 != 0 {
		return nil, fmt.Errorf("%s has mode %04o; it holds a secret and must not be open to others: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return os.ReadFile(path)
}
