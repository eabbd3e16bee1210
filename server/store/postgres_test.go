package store_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
