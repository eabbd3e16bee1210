package attack_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
)

// An endless publish, whose length nobody says, ends at the server's limit.
func TestEndlessPublish(t *testing.T) {
	const most = 100_000
	h := harness.Start(t, func(c *harness.Config) { c.Server.MaxBody = most })
	p := h.Publisher(t, app)
	p.Init(t)
	body := &endless{head: `{"files":[{"role":"`}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.URL+api.PublishPath(app), body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+h.AdminToken)
	request.Header.Set("Content-Type", api.TypeJSON)
	answer, err := h.HTTP.Do(request)
	if err == nil {
		answer.Body.Close()
		if answer.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("an endless body was answered with %s", answer.Status)
		}
	}
	if body.sent > 100*most { // what lies in buffers on the way is beside it
		t.Errorf("%d bytes were taken, of which %d may be", body.sent, most)
	}
	p.Publish(t) // and others are served
}

// endless is a body that never ends, until a test gives up on it.
type endless struct {
	head string
	sent int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.sent > 1<<28 {
		return 0, errors.New("nobody stops it")
	}
	n := copy(b, e.head)
	e.head = e.head[n:]
	for i := n; i < len(b); i++ {
		b[i] = 'x'
	}
	e.sent += len(b)
	return len(b), nil
}

// A publish that is begun and never finished is answered, or hung up on, in the time
// that a body may take.
func TestUnfinishedPublish(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) { c.Server.BodyWait = time.Second })
	h.Publisher(t, app).Init(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(h.CA)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(h.URL, "https://"), &tls.Config{RootCAs: pool, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"files\":",
		api.PublishPath(app), h.AdminToken); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	switch {
	case err == nil:
		answer.Body.Close()
		if answer.StatusCode != http.StatusRequestTimeout {
			t.Errorf("an unfinished body was answered with %s", answer.Status)
		}
	case !errors.Is(err, io.ErrUnexpectedEOF):
		t.Errorf("an unfinished body is waited for: %v", err)
	}
}
