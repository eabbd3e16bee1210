package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// attackMovedTag moves the registry's tag to another image, as whoever can write
// to the registry can.
func (d *demo) attackMovedTag(ctx context.Context) error {
	d.title("Attack: the registry's tag :1.0 is moved to another image")
	var err error
	if d.evil, err = push(ctx, d.image+":1.0", "not what you signed"); err != nil {
		return err
	}
	d.say("the registry now serves %s under :1.0", short(d.evil))
	d.say("verify does not ask the registry; what was signed is still the answer:")
	pinned, err := d.signet(ctx, 0, "verify", "-q", d.image+":1.0")
	if err != nil {
		return err
	}
	if want := d.image + "@" + d.first; pinned != want {
		return fmt.Errorf("verify printed %q, expected %q", pinned, want)
	}
	d.say("and --compare tells what the registry does:")
	_, err = d.signet(ctx, 3, "verify", "--compare", d.image+":1.0")
	return err
}

// attackOtherDigest asks for the attacker's image by its digest.
func (d *demo) attackOtherDigest(ctx context.Context) error {
	d.title("Attack: the other image is asked for by its digest")
	if _, err := d.signet(ctx, 3, "verify", d.image+":1.0@"+d.evil); err != nil {
		return err
	}
	_, err := d.signet(ctx, 3, "verify", d.image+"@"+d.evil)
	return err
}

func (d *demo) process(name string) (*process, error) {
	for _, p := range d.procs {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s is not running", name)
}

// whileDown stops the server, changes its folder, and starts it again.
func (d *demo) whileDown(ctx context.Context, change func(data string) error) error {
	server, err := d.process("signet-server")
	if err != nil {
		return err
	}
	if err := d.stop(server); err != nil {
		return err
	}
	if err := change(filepath.Join(d.dir, "signet-data")); err != nil {
		return err
	}
	return d.startServer(ctx)
}

// keepAside copies the server's folder as it is now.
func (d *demo) keepAside(ctx context.Context, name string) error {
	return d.whileDown(ctx, func(data string) error {
		return os.CopyFS(filepath.Join(d.dir, name), os.DirFS(data))
	})
}

// attackYesterday restores the server as it was before :1.1 was signed: all of
// its metadata is validly signed and has not expired, but it is old.
func (d *demo) attackYesterday(ctx context.Context) error {
	d.title("Attack: the server's metadata is replaced by yesterday's")
	yesterday, today := filepath.Join(d.dir, "yesterday"), filepath.Join(d.dir, "today")
	err := d.whileDown(ctx, func(data string) error {
		return errors.Join(os.Rename(data, today), restore(yesterday, data))
	})
	if err != nil {
		return err
	}
	if _, err := d.signet(ctx, 3, "verify", d.image+":1.0"); err != nil {
		return err
	}
	d.say("the server gets its own metadata back")
	return d.whileDown(ctx, func(data string) error {
		return errors.Join(os.RemoveAll(data), os.Rename(today, data))
	})
}

// restore copies a folder with secrets in it.
func restore(from, to string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
}

// attackFlippedByte stands between the verifier and the server and changes one
// byte of the timestamp. Nobody on the way could do that to TLS; a hostile mirror
// or server can.
func (d *demo) attackFlippedByte(ctx context.Context) error {
	d.title("Attack: somebody on the way flips one byte of the metadata")
	address, stop, err := d.startFlipper()
	if err != nil {
		return err
	}
	defer stop()
	_, err = d.signet(ctx, 3, "verify", "--server", address, d.image+":1.0")
	return err
}

// startFlipper starts a proxy with the server's own certificate, so that nothing
// but the signatures can tell.
func (d *demo) startFlipper() (address string, stop func(), err error) {
	data := filepath.Join(d.dir, "signet-data")
	certificate, err := tls.LoadX509KeyPair(filepath.Join(data, "cert.pem"), filepath.Join(data, "key.pem"))
	if err != nil {
		return "", nil, err
	}
	ca, err := os.ReadFile(filepath.Join(data, "ca.pem"))
	if err != nil {
		return "", nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	target, err := url.Parse(d.server)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("If-None-Match") // so that there is a body to change
		},
		ModifyResponse: flip,
		Transport:      &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: 5 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	go server.ServeTLS(listener, "", "")
	return "https://localhost:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), func() { server.Close() }, nil
}

// flip changes one byte of a timestamp: a digit of its version becomes another.
func flip(response *http.Response) error {
	if !strings.HasSuffix(response.Request.URL.Path, "/timestamp.json") || response.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	response.Body.Close()
	changed := strings.Replace(string(body), `"spec_version":"1.0.34"`, `"spec_version":"1.0.35"`, 1)
	response.Body = io.NopCloser(strings.NewReader(changed))
	return nil
}

// attackUnsignedTag asks for a tag that the registry has and nobody signed.
func (d *demo) attackUnsignedTag(ctx context.Context) error {
	d.title("Attack: a tag is pushed that nobody signed")
	if _, err := push(ctx, d.image+":latest", "nobody signed this"); err != nil {
		return err
	}
	_, err := d.signet(ctx, 3, "verify", d.image+":latest")
	return err
}
