package store_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/store"
)

// Whoever stands between server and Postgres gets no password: without a word
// in the URL, TLS is demanded and the certificate checked.
func TestPostgresTLS(t *testing.T) {
	self := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate of its own, for 127.0.0.1
	defer self.Close()
	for _, test := range []struct{ answer, query, want string }{
		{"N", "", "it does not offer TLS"},
		{"S", "", "its certificate is not trusted"},
		{"S", "?sslmode=verify-ca", "its certificate is not trusted"},
		{"S", "?sslmode=require", "the connection to it was lost"}, // TLS is up, and the test hangs up
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				request := make([]byte, 8) // Postgres' SSLRequest: may we have TLS?
				if _, err := io.ReadFull(conn, request); err == nil {
					io.WriteString(conn, test.answer)
					tls.Server(conn, &tls.Config{Certificates: self.TLS.Certificates}).Handshake()
				}
				conn.Close()
			}
		}()
		url := "postgres://alice:hunter2@" + l.Addr().String() + "/signet" + test.query
		_, err = store.Open(t.Context(), url)
		l.Close()
		<-done
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q, %q: %v\nexpected: %s", test.answer, test.query, err, test.want)
		}
	}
}

// Two servers that look for work at the same moment pick the same rows. The
// second waits for the first, sees the lease, and leaves them to it.
func TestPostgresClaimTogether(t *testing.T) {
	db := open(t, postgresURL(t))
	if _, err := db.Publish(t.Context(), publication(0)); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	tx, err := store.Writer(db).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	var first string
	if err := tx.QueryRow(store.ClaimStatement, now.Unix(), now.Unix()+60, 10).Scan(&first); err != nil {
		t.Fatal(err)
	}
	type claim struct {
		list []string
		err  error
	}
	second := make(chan claim)
	go func() {
		list, err := db.ClaimRefresh(t.Context(), now, time.Minute, 10)
		second <- claim{list, err}
	}()
	for waiting := 0; waiting == 0; { // until the second stands before the first one's row
		err := store.Reader(db).QueryRow(`
			SELECT COUNT(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := <-second; got.err != nil || len(got.list) != 0 {
		t.Errorf("claimed %v, %v, expected nothing: %s is claimed", got.list, got.err, first)
	}
}
