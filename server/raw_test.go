package server_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/test/harness"
)

// dial opens a TLS connection on which a test writes what no HTTP client would.
func dial(h *harness.Harness) (*tls.Conn, error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(h.CA)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(h.URL, "https://"), &tls.Config{RootCAs: pool, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(30 * time.Second))
}

// raw asks for a path exactly as it is written.
func raw(h *harness.Harness, path string) (*harness.Answer, error) {
	conn, err := dial(h)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path); err != nil {
		return nil, err
	}
	return readAnswer(conn)
}

func readAnswer(conn *tls.Conn) (*harness.Answer, error) {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &harness.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, err
}

// A client that never finishes its request is answered, or hung up on, in bounded
// time, and does not keep others out.
func TestUnfinishedRequest(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) {
		c.Server.BodyWait = time.Second
		c.Server.MaxWrites = 2
	})
	p := h.Publisher(t, app)
	p.Init(t)
	for range 4 { // more than there are slots
		conn, err := dial(h)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/publish/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"files\":", app, h.AdminToken)
		t.Cleanup(func() {
			if a, err := readAnswer(conn); err == nil && a.Status != http.StatusRequestTimeout && a.Status != http.StatusServiceUnavailable {
				t.Errorf("an unfinished request was answered %d %s", a.Status, a.Body)
			}
		})
	}
	verify(t, h, app) // reads go on meanwhile
	p.Publish(t)      // and a publish gets its turn
	if v := verify(t, h, app).Root().Signed.Version; v != 1 {
		t.Fatal(v)
	}
}
