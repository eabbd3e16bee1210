package server_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// begin sends the head of a publish with size bytes, and a few of them.
func begin(t *testing.T, h *harness.Harness, token string, size int64) *tls.Conn {
	t.Helper()
	conn, err := dial(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // or the test has
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{\"files\":",
		api.PublishPath(app), token, size)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// inside is begin, and waits until the server asks for the body: the request has its
// place then. One that comes while another has the last place is turned away.
func inside(t *testing.T, h *harness.Harness, token string, size int64) *tls.Conn {
	t.Helper()
	conn, err := dial(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // or the test has
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		api.PublishPath(app), token, size); err != nil {
		t.Fatal(err)
	}
	const want = "HTTP/1.1 100 Continue\r\n\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := io.WriteString(conn, `{"files":`); err != nil {
		t.Fatal(err)
	}
	return conn
}

// refused asks until the server has no room left for token, and fails the test
// when it has for too long.
func refused(t *testing.T, h *harness.Harness, token string) {
	t.Helper()
	for range 10_000 {
		a, err := h.Client(token).Do(t.Context(), http.MethodPost, api.PublishPath(app), nil, []byte("[]"))
		if err != nil {
			t.Fatal(err)
		}
		if errors.Is(a.Err(), api.ErrTooManyRequests) {
			if !strings.Contains(a.Err().Error(), "under way") {
				t.Fatal(a.Err())
			}
			return
		}
		if !errors.Is(a.Err(), api.ErrBadRequest) {
			t.Fatal(a.Err())
		}
	}
	t.Fatal("it always has room")
}

// Somebody who may publish begins as many publishes as the server lets them and
// finishes none. Others publish meanwhile.
func TestUnfinishedBodiesOfOneToken(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) {
		c.Server.MaxWrites = 1
		c.Server.Rates = server.Rates{Token: -1}
	})
	p := h.Publisher(t, app)
	p.Init(t)
	eve := h.Token(t, []string{api.ScopePublish}, "registry.example/team/*")
	var open []io.Closer
	for range 4 { // a quarter of 16 places
		open = append(open, inside(t, h, eve, 1000))
	}
	refused(t, h, eve)
	p.Publish(t)
	for _, conn := range open {
		_ = conn.Close() // that is all that is wanted
	}
	for { // the server sees them go
		_, err := h.Client(eve).Publish(t.Context(), app, p.Next(t))
		if err == nil {
			break
		}
		if !errors.Is(err, api.ErrTooManyRequests) {
			t.Fatal(err)
		}
		p.Targets.Signed.Version--
	}
	if v := verify(t, h, app).Role(tuf.RoleTargets).Signed.Version; v != 3 {
		t.Fatalf("targets version %d", v)
	}
}

// Bodies that are said to be large, and do not come, take no memory that others
// would need.
func TestLargeBodiesOfOneToken(t *testing.T) {
	const most = 1 << 20
	h := harness.Start(t, func(c *harness.Config) { c.Server.MaxBody = most })
	p := h.Publisher(t, app)
	p.Init(t)
	eve := h.Token(t, []string{api.ScopePublish}, "registry.example/team/*")
	for range 5 { // one takes eve's share of bytes, the others wait for it
		begin(t, h, eve, most)
	}
	p.Publish(t)
	begun := begin(t, h, eve, most+1)
	a, err := readAnswer(begun)
	if err != nil || !errors.Is(a.Err(), api.ErrTooLarge) {
		t.Fatalf("a body that says it is too large: %v, %v", a, err)
	}
}
