package server_test

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
)

// BenchmarkTimestamp reads one timestamp over TLS: from this server, and from a
// bare handler that serves the same bytes, which is the floor.
func BenchmarkTimestamp(b *testing.B) {
	h := harness.Start(b, func(c *harness.Config) { c.Server.Rates.Reads = -1 })
	p := h.Publisher(b, app)
	p.Init(b)
	data, err := p.Client.File(b.Context(), app, "timestamp.json")
	if err != nil {
		b.Fatal(err)
	}
	bare := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.TypeJSON)
		if _, err := w.Write(data); err != nil {
			b.Error(err)
		}
	}))
	bare.EnableHTTP2 = true
	bare.StartTLS()
	defer bare.Close()
	client := harness.NewHTTPClient(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bare.Certificate().Raw}))
	read := func(b *testing.B, client *http.Client, url string) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				resp, err := client.Get(url)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
					b.Fatal(resp.Status, err)
				}
				resp.Body.Close()
			}
		})
	}
	b.Run("signet", func(b *testing.B) { read(b, h.HTTP, h.URL+api.FilePath(app, "timestamp.json")) })
	b.Run("bare", func(b *testing.B) { read(b, client, bare.URL) })
	b.Run("handler", func(b *testing.B) { // without the network
		handler := h.Server.Handler()
		for b.Loop() {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, api.FilePath(app, "timestamp.json"), nil))
		}
	})
}

// BenchmarkPublish publishes one more tag into a repository that has many: the
// whole way, publisher's signature and HTTP included.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			h := harness.Start(b, func(c *harness.Config) { c.Server.Rates.Token = -1 })
			p := h.Publisher(b, app)
			p.Init(b)
			for i := range n {
				p.Tag(b, strconv.Itoa(i), harness.Digest("%d", i))
			}
			p.Publish(b)
			for b.Loop() {
				p.Tag(b, "next", harness.Digest("next"))
				p.Publish(b)
			}
		})
	}
}
