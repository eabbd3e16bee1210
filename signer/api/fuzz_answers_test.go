package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
)

type oneAnswer struct {
	status int
	kind   string
	body   []byte
}

func (a oneAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {a.kind}}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body))}, nil
}

// FuzzAnswer checks that a server that gets anything but a signer's answer is told so:
// no panic, and no answer without what it asked for.
func FuzzAnswer(f *testing.F) {
	f.Add(uint16(200), "application/json", []byte(`{"key":null}`))
	f.Add(uint16(200), "application/json", []byte(`{"snapshot":{"version":1,"bytes":"e30="},"timestamp":null}`))
	f.Add(uint16(409), ProblemType, []byte(`{"type":"urn:signet:problem:conflict","status":200}`))
	f.Fuzz(func(t *testing.T, status uint16, kind string, body []byte) {
		c := &Client{base: "https://signer.example", http: &http.Client{Transport: oneAnswer{100 + int(status)%500, kind, body}}}
		ctx := context.Background()
		if id, err := c.Identity(ctx); err == nil && id.Key == nil {
			t.Fatalf("%d %q: an identity without a key", status, body)
		}
		if _, err := c.OnlineKeys(ctx, "r.io/a"); err == nil && c.http.Transport.(oneAnswer).status != http.StatusOK {
			t.Fatalf("%d %q is no success", status, body)
		}
		if _, err := c.Last(ctx, "r.io/a"); err == nil && c.http.Transport.(oneAnswer).status != http.StatusOK {
			t.Fatalf("%d %q is no success", status, body)
		}
		if _, err := c.Refresh(ctx, RefreshRequest{Repository: "r.io/a", SnapshotVersion: 1, SnapshotSHA256: string(bytes.Repeat([]byte("0"), 64))}); err == nil && c.http.Transport.(oneAnswer).status != http.StatusOK {
			t.Fatalf("%d %q is no success", status, body)
		}
	})
}
