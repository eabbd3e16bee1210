package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// troubleWith fails the test unless verifying ends in this trouble, no verdict.
func (b *bench) troubleWith(trouble Trouble) error {
	b.t.Helper()
	d, err := b.verify("1.0")
	e, ok := errors.AsType[*ServerError](err)
	if !ok || e.Trouble != trouble || tuf.IsRefusal(err) || d.Trusted {
		b.t.Fatalf("got %+v, %v; expected trouble of the kind %q", d, err, trouble)
	}
	return err
}

func endsWith(suffix string, answer http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			return false
		}
		answer(w, r)
		return true
	}
}

// endless writes until the reader hangs up, and says how much it got rid of.
func endless(written *int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		block := bytes.Repeat([]byte(" "), 64<<10)
		for {
			n, err := w.Write(block)
			*written += int64(n)
			if err != nil {
				return
			}
		}
	}
}

// TestEndlessData serves bodies without an end in place of each file.
func TestEndlessData(t *testing.T) {
	for _, name := range []string{"1.root.json", "2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"} {
		b := newBench(t)
		var written int64
		b.server.setIntercept(endsWith("/"+name, endless(&written)))
		d, err := b.verify("1.0")
		if tuf.RuleOf(err) != tuf.RuleLimit || d.Trusted {
			t.Errorf("%s: %v", name, err)
		}
		b.server.Close() // waits for the handler
		if written > 16<<20 {
			t.Errorf("%s: %d bytes were taken", name, written)
		}
	}
}

// TestFalseLength announces another length than is signed, or than comes.
func TestFalseLength(t *testing.T) {
	b := newBench(t)
	data, _ := b.repo.file("2.targets.json")
	b.server.setIntercept(endsWith("2.targets.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Write(append(bytes.Clone(data), ' '))
	}))
	b.refuses("1.0", tuf.RuleLimit)
	b.server.setIntercept(endsWith("2.targets.json", func(w http.ResponseWriter, _ *http.Request) { w.Write(data[:len(data)-1]) }))
	b.refuses("1.0", tuf.RuleHash)
	b.server.setIntercept(endsWith("2.targets.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000000000")
		w.Write(data)
	}))
	if d, err := b.verify("1.0"); err == nil || d.Trusted {
		t.Error("a body cut short was accepted")
	}
	b.server.setIntercept(nil)
	b.trusts("1.0", "one")
}

// TestCompression asks for none and takes none: a small body could be an endless one.
func TestCompression(t *testing.T) {
	b := newBench(t)
	asked := ""
	b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		asked = r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(make([]byte, 1<<20))
		z.Close()
		return true
	})
	b.troubleWith(TroubleEncoding)
	if asked != "identity" {
		t.Errorf("asked for the encoding %q", asked)
	}
}

// TestSlowServer drips, or says nothing at all.
func TestSlowServer(t *testing.T) {
	short := Timeouts{Connect: 200 * time.Millisecond, Header: 100 * time.Millisecond, Body: 100 * time.Millisecond}
	for name, answer := range map[string]http.HandlerFunc{
		"silence": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"drip": func(w http.ResponseWriter, r *http.Request) {
			for ticker := time.NewTicker(20 * time.Millisecond); ; {
				select {
				case <-r.Context().Done():
					return
				case <-ticker.C:
					w.Write([]byte(" "))
					w.(http.Flusher).Flush()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.trusts("1.0", "one") // and opens a connection
			b.config.Timeouts = short
			b.server.setIntercept(endsWith("timestamp.json", answer))
			began := time.Now()
			b.troubleWith(TroubleTimeout)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			b.server.CloseClientConnections()
		})
	}
}

func TestCancelledByCaller(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.server.setIntercept(endsWith("timestamp.json", func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	_, err := b.client().Verify(ctx, tuf.Image{Repository: appName, Tag: "1.0"}, Options{})
	if !errors.Is(err, context.Canceled) || tuf.IsRefusal(err) {
		t.Errorf("got %v", err)
	}
}

// TestMirrors puts a bad server first and a good one second.
func TestMirrors(t *testing.T) {
	for name, bad := range map[string]func(good *bench) http.HandlerFunc{
		"nothing there": func(*bench) http.HandlerFunc { return http.NotFound },
		"an error": func(*bench) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }
		},
		"another's page": func(*bench) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }
		},
		"endless data": func(*bench) http.HandlerFunc { var n int64; return endless(&n) },
		"a redirect": func(good *bench) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, good.server.URL+r.URL.Path, http.StatusFound)
			}
		},
		"older metadata": func(good *bench) http.HandlerFunc {
			old := good.repo.served()
			good.repo.sign("1.0", digestOf("two"))
			good.trusts("1.0", "two")
			return func(w http.ResponseWriter, r *http.Request) {
				data, ok := old[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
				if !ok {
					w.WriteHeader(404)
				}
				w.Write(data)
			}
		},
		"bad targets under good signatures": func(good *bench) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "targets.json") {
					w.Write([]byte("{}"))
					return
				}
				good.server.ServeHTTP(w, r)
			}
		},
		"expired long ago": func(good *bench) http.HandlerFunc {
			old := good.repo.served()
			good.clock.Add(3 * day)
			good.repo.release()
			return func(w http.ResponseWriter, r *http.Request) {
				data, ok := old[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
				if !ok {
					w.WriteHeader(404)
				}
				w.Write(data)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			mirror := httptest.NewUnstartedServer(bad(b))
			mirror.Config.ErrorLog = quiet()
			mirror.TLS = &tls.Config{Certificates: b.server.TLS.Certificates}
			mirror.StartTLS()
			defer mirror.Close()
			b.anchor.Servers = []string{mirror.URL, b.server.URL}
			want := "one"
			if name == "older metadata" {
				want = "two"
			}
			b.trusts("1.0", want)
			b.trusts("1.0", want)
		})
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	b := newBench(t)
	followed := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer elsewhere.Close()
	b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		return true
	})
	b.troubleWith(TroubleRedirect)
	if followed {
		t.Error("the redirect was followed")
	}
}

// certificate returns a certificate for 127.0.0.1 of an authority of its own.
func certificate(t *testing.T, from, to time.Time) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestConnectionTroubles says in words what is wrong with a connection.
func TestConnectionTroubles(t *testing.T) {
	b := newBench(t)
	good := b.anchor
	now := b.clock.Now()
	_, foreign := certificate(t, now.Add(-day), now.Add(day))
	b.anchor.CA = foreign
	b.troubleWith(TroubleCA)

	start := func(from, to time.Time) *httptest.Server {
		cert, ca := certificate(t, from, to)
		s := httptest.NewUnstartedServer(b.server)
		s.Config.ErrorLog = quiet()
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.StartTLS()
		t.Cleanup(s.Close)
		b.anchor.CA, b.anchor.Servers = ca, []string{s.URL}
		return s
	}
	start(now.Add(-2*day), now.Add(-day))
	b.troubleWith(TroubleCertExpired)
	start(now.Add(day), now.Add(2*day)) // as with a clock that is behind
	b.troubleWith(TroubleCertExpired)
	s := start(now.Add(-day), now.Add(day))
	b.trusts("1.0", "one")
	b.anchor.Servers = []string{strings.Replace(s.URL, "127.0.0.1", "localhost", 1)}
	b.troubleWith(TroubleCertName)

	s.TLS.MaxVersion = tls.VersionTLS11
	b.anchor.Servers = []string{s.URL}
	b.troubleWith(TroubleTLS)

	plain := httptest.NewServer(b.server)
	b.anchor.Servers = []string{strings.Replace(plain.URL, "http://", "https://", 1)}
	b.troubleWith(TroubleTLS)
	b.anchor.Servers = []string{plain.URL} // loopback
	b.trusts("1.0", "one")
	plain.Close()
	b.troubleWith(TroubleNoRoute)
	b.anchor.Servers = []string{"http://signet.example.com"}
	b.troubleWith(TroubleAddress)
	b.anchor.Servers = []string{"https://no-such-host.invalid"}
	b.troubleWith(TroubleNoRoute)

	b.anchor = good
	b.server.setIntercept(func(w http.ResponseWriter, _ *http.Request) bool {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
		return true
	})
	b.troubleWith(TroubleBroken)
	b.server.setIntercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true })
	b.troubleWith(TroubleStatus)
	b.server.setIntercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(404); return true })
	if _, err := b.verify("1.0"); !errors.Is(err, tuf.ErrNotFound) || tuf.IsRefusal(err) {
		t.Errorf("nothing there: %v", err)
	}
}

func TestCheckAddress(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://signet.example.com": true, "https://signet.example.com:4443/base/": true,
		"http://localhost:4443": true, "http://127.0.0.1": true, "http://[::1]:80": true,
		"http://signet.example.com": false, "http://localhost.example.com": false, "http://10.0.0.1": false,
		"ftp://localhost": false, "signet.example.com": false, "https://user:secret@x.example": false,
		"https://x.example?a": false, "https://x.example/#a": false, "https://": false, "": false, "https://:443": false,
	} {
		if _, err := checkAddress(address, false); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		} else if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
	if _, err := checkAddress("http://signet.example.com", true); err != nil {
		t.Error(err)
	}
}
