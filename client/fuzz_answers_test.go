package client

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// files answers requests from a map, in this process. One of them may be another's
// work: its body, status and headers.
type hostileFiles struct {
	files  map[string][]byte
	name   string // the file that is the attacker's
	status int
	header http.Header
	body   []byte
}

func (h *hostileFiles) RoundTrip(r *http.Request) (*http.Response, error) {
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	data, ok := h.files[name]
	a := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	switch {
	case name == h.name:
		a.StatusCode, a.Header, data = h.status, h.header, h.body
	case !ok:
		a.StatusCode = http.StatusNotFound
	}
	a.Body, a.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	return a, nil
}

// memory is a folder that is not on a disk, where there is one: a sync for each input
// would be all that a fuzz test does.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "client-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FuzzAnswer checks that whatever a server answers for one file, with whatever status
// and headers, a verifier says yes to the signed digest or does not say yes, and says
// the right thing again once the server is honest.
func FuzzAnswer(f *testing.F) {
	clock := newClock()
	repo := newRepo(f, appName, clock).start()
	repo.sign("1.0", digestOf("one"))
	honest := repo.served()
	names := []string{"1.root.json", "2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"}
	for i, name := range names {
		f.Add(uint8(i), uint16(200), "application/json", "", honest[name])
		f.Add(uint8(i), uint16(404), "application/problem+json", "", []byte(`{"type":"urn:signet:problem:not-found"}`))
		f.Add(uint8(i), uint16(200), "", "gzip", []byte("{}"))
		f.Add(uint8(i), uint16(304), "", "", []byte{})
	}
	pins := Anchor{Pattern: appName, Servers: []string{"https://server.example"}, RootKeys: []string{repo.rootKeys[0].Key().ID()}}
	f.Fuzz(func(t *testing.T, which uint8, status uint16, kind, encoding string, body []byte) {
		server := &hostileFiles{files: honest, name: names[int(which)%len(names)], status: 100 + int(status)%500, body: body,
			header: http.Header{"Content-Type": {kind}, "Content-Encoding": {encoding}, "Etag": {kind}}}
		config := Config{StateDir: memory(t), Now: clock.Now, Transport: server, Anchors: Anchors{pins}}
		ask := func() (*Decision, error) {
			return New(config).Verify(context.Background(), tuf.Image{Repository: appName, Tag: "1.0"}, Options{})
		}
		d, err := ask()
		if d.Trusted != (err == nil) || d.Trusted && d.Digest != digestOf("one") || !d.Trusted && d.Reference != "" {
			t.Fatalf("%+v, %v", d, err)
		}
		server.name = ""
		if d, err = ask(); err != nil || d.Digest != digestOf("one") {
			t.Fatalf("from the honest server, after that answer: %+v, %v", d, err)
		}
	})
}

// FuzzState checks that whatever stands in a file of the cache, a verifier neither
// panics nor says yes to anything but the signed digest, and that all is well again
// with the honest server's files.
func FuzzState(f *testing.F) {
	clock := newClock()
	repo := newRepo(f, appName, clock).start()
	repo.sign("1.0", digestOf("one"))
	server := &hostileFiles{files: repo.served()}
	pins := Anchor{Pattern: appName, Servers: []string{"https://server.example"}, RootKeys: []string{repo.rootKeys[0].Key().ID()}}
	names := []string{"root.json", "timestamp.json", "snapshot.json", "targets.json", ".marks", ".roots/1.json", ".roots/x", ".roots/9.json"}
	for i, name := range names {
		f.Add(uint8(i), repo.served()[strings.TrimPrefix(name, ".roots/")])
		f.Add(uint8(i), []byte("null"))
	}
	f.Add(uint8(4), []byte(`{"generation":-1,"time":"2029-01-01T00:00:00Z","etag":"\"x\"","server":"https://server.example","stale":{"root":9}}`))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		config := Config{StateDir: memory(t), Now: clock.Now, Transport: server, Anchors: Anchors{pins}}
		ask := func(offline bool) (*Decision, error) {
			return New(config).Verify(context.Background(), tuf.Image{Repository: appName, Tag: "1.0"}, Options{Offline: offline})
		}
		if d, err := ask(false); err != nil {
			t.Fatalf("%+v, %v", d, err)
		}
		path := filepath.Join(config.StateDir, filepath.FromSlash(appName), names[int(which)%len(names)])
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, offline := range []bool{true, false} {
			d, err := ask(offline)
			if d.Trusted != (err == nil) || d.Trusted && d.Digest != digestOf("one") {
				t.Fatalf("offline %v: %+v, %v", offline, d, err)
			}
			// Only a time that has not come yet keeps the honest answer away for good.
			if !offline && err != nil && tuf.RuleOf(err) != tuf.RuleClock {
				t.Fatalf("the honest server does not mend it: %v", err)
			}
		}
	})
}
