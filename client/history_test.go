package client_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A liar changes what a server says of the past.
type liar struct {
	http.RoundTripper
	lie func(*api.HistoryResponse)
}

func (l *liar) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if err != nil || l.lie == nil || !strings.HasPrefix(r.URL.Path, "/v1/history/") {
		return response, err
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var history api.HistoryResponse
	if err := json.Unmarshal(data, &history); err != nil {
		return nil, err
	}
	l.lie(&history)
	if data, err = json.Marshal(history); err != nil {
		return nil, err
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	return response, nil
}

// TestHistoryOfALiar shows what a server can do to a report: leave out, which is told,
// and nothing else.
func TestHistoryOfALiar(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	s.sign("1.0", 2, "targets", s.alice)
	s.sign("1.0", 3, "targets", s.bob)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.h.CA)
	l := &liar{RoundTripper: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Time: s.h.Clock.Now, MinVersion: tls.VersionTLS12}}}
	p := &client.Publisher{Client: client.New(client.Config{StateDir: t.TempDir(), Now: s.h.Clock.Now, Transport: l}), Server: s.p.Server, Anchor: s.p.Anchor}
	ask := func(lie func(*api.HistoryResponse)) (*client.Compromise, error) {
		l.lie = lie
		return p.Compromised(t.Context(), client.CompromiseRequest{Repository: storyName, KeyID: s.alice.Key().ID()})
	}
	honest, err := ask(nil)
	if err != nil || len(honest.Gaps) > 0 || len(honest.Signed) != 2 {
		t.Fatalf("%+v, %v", honest, err)
	}
	targets := func(h *api.HistoryResponse, version int64) *api.HistoryFile {
		for i := range h.Publications {
			for j, f := range h.Publications[i].Files {
				if f.Role == "targets" && f.Version == version {
					return &h.Publications[i].Files[j]
				}
			}
		}
		t.Fatalf("no targets version %d", version)
		return nil
	}
	edit := func(f *api.HistoryFile, old, new string) {
		f.Content = []byte(strings.ReplaceAll(string(f.Content), old, new))
	}
	gap := func(c *client.Compromise, role string, version int64) bool {
		return slices.ContainsFunc(c.Gaps, func(g client.Gap) bool { return g.Role == role && g.From <= version && version <= g.To })
	}
	for name, lie := range map[string]func(*api.HistoryResponse){
		"left out": func(h *api.HistoryResponse) {
			h.Publications = slices.DeleteFunc(h.Publications, func(p api.Publication) bool {
				return slices.ContainsFunc(p.Files, func(f api.HistoryFile) bool { return f.Role == "targets" && f.Version == 4 })
			})
		},
		"emptied":        func(h *api.HistoryResponse) { targets(h, 4).Content = []byte("{}") },
		"another digest": func(h *api.HistoryResponse) { edit(targets(h, 4), storyDigest(2)[7:], storyDigest(9)[7:]) },
		"another key": func(h *api.HistoryResponse) {
			edit(targets(h, 4), s.alice.Key().ID(), s.bob.Key().ID())
		},
		"an older version in its place": func(h *api.HistoryResponse) { targets(h, 4).Content = targets(h, 3).Content },
	} {
		c, err := ask(lie)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !gap(c, "targets", 4) {
			t.Errorf("%s: it is not told: %+v", name, c.Gaps)
		}
		for _, signed := range c.Signed {
			if signed.Digest != storyDigest(1) && signed.Digest != storyDigest(2) && signed.Digest != storyDigest(3) {
				t.Errorf("%s: the key is said to have signed %s", name, signed.Digest)
			}
		}
	}
	cut, err := ask(func(h *api.HistoryResponse) { h.Publications = h.Publications[:len(h.Publications)-1] })
	if err != nil || !gap(cut, "targets", 5) {
		t.Errorf("the end is cut off: %+v, %v", cut, err)
	}
	if c, err := ask(func(h *api.HistoryResponse) { slices.Reverse(h.Publications) }); err == nil {
		t.Errorf("backwards: %+v", c)
	}
	if c, err := ask(func(h *api.HistoryResponse) { h.Next = h.Publications[len(h.Publications)-1].Generation - 1 }); err == nil {
		t.Errorf("without an end: %+v", c)
	}
}

func TestNotice(t *testing.T) {
	s := newStory(t)
	notice := client.Notice{Pattern: storyName, Old: []string{s.root.Key().ID()}, New: []*tuf.Key{s.bob.Key()}, Threshold: 1, Reason: "lost", Time: time.Now()}
	file, err := client.SignNotice(t.Context(), notice, []tuf.Signer{s.alice, s.r, s.alice})
	if err != nil {
		t.Fatal(err)
	}
	read, signers, err := client.ReadNotice(file)
	if err != nil || len(signers) != 2 || read.Reason != "lost" || !read.New[0].Equal(s.bob.Key()) {
		t.Fatalf("%+v, %v, %v", read, signers, err)
	}
	var signed client.SignedNotice
	if err := json.Unmarshal(file, &signed); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(f *client.SignedNotice){
		"another key":       func(f *client.SignedNotice) { f.Signatures[0].Key = s.bob.Key() },
		"another text":      func(f *client.SignedNotice) { f.Notice = bytes.Replace(f.Notice, []byte("lost"), []byte("well"), 1) },
		"another signature": func(f *client.SignedNotice) { f.Signatures[0].Signature = f.Signatures[1].Signature },
		"no key":            func(f *client.SignedNotice) { f.Signatures[0].Key = nil },
		"no notice":         func(f *client.SignedNotice) { f.Notice = nil },
	} {
		again := signed
		again.Signatures = slices.Clone(signed.Signatures)
		change(&again)
		data, err := json.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if n, _, err := client.ReadNotice(data); err == nil {
			t.Errorf("%s: %+v", name, n)
		}
	}
	// What is signed as a notice is no metadata: the very bytes begin otherwise.
	payload := append([]byte("{"), signed.Notice...)
	if s.alice.Key().Verify(signed.Notice, signed.Signatures[0].Signature) == nil || s.alice.Key().Verify(payload, signed.Signatures[0].Signature) == nil {
		t.Error("the signature is good for the bare bytes, too")
	}
}

func FuzzReadNotice(f *testing.F) {
	f.Add([]byte(`{"notice":"e30=","signatures":[]}`))
	f.Add([]byte(`{"notice":"eyJfdHlwZSI6InNpZ25ldC1ub3RpY2UifQ==","signatures":[{"key":{},"signature":"AA=="}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, _, err := client.ReadNotice(data)
		if err == nil && n.Check() != nil {
			t.Errorf("%q is taken, and does not hold", data)
		}
	})
}
