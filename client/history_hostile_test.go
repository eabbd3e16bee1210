package client_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// lied asks what a key did, of a server that lies about the past.
func (s *story) lied(key tuf.Signer, since time.Time, lie func(*api.HistoryResponse)) *client.Compromise {
	s.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.h.CA)
	l := &liar{RoundTripper: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Time: s.h.Clock.Now, MinVersion: tls.VersionTLS12}}, lie: lie}
	p := &client.Publisher{Client: client.New(client.Config{StateDir: s.t.TempDir(), Now: s.h.Clock.Now, Transport: l}), Server: s.p.Server, Anchor: s.p.Anchor}
	c, err := p.Compromised(s.t.Context(), client.CompromiseRequest{Repository: storyName, KeyID: key.Key().ID(), Since: since})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// fileOf returns one file of a history.
func fileOf(h *api.HistoryResponse, role string, version int64) *api.HistoryFile {
	for i := range h.Publications {
		for j, f := range h.Publications[i].Files {
			if f.Role == role && f.Version == version {
				return &h.Publications[i].Files[j]
			}
		}
	}
	return nil
}

// TestHistoryGoodFromALiar has a server make up what a tag meant before the thief: a
// guided run would sign just that.
func TestHistoryGoodFromALiar(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice) // targets version 3
	theft := s.h.Clock.Now()
	s.sign("1.0", 2, "targets", s.alice)
	evil := func(data []byte) []byte {
		return bytes.ReplaceAll(data, []byte(storyDigest(1)[7:]), []byte(storyDigest(9)[7:]))
	}
	c := s.lied(s.alice, theft, func(h *api.HistoryResponse) {
		f := fileOf(h, "targets", 3)
		f.Content = evil(f.Content)
	})
	if len(c.Gaps) == 0 {
		t.Error("no gap is told")
	}
	for _, doubtful := range c.Doubtful {
		if doubtful.Good != nil && doubtful.Good.Digest == storyDigest(9) {
			t.Errorf("what nobody signed is told to be good: %+v", doubtful.Good)
		}
	}
}

// TestHistoryOfAnotherBeginning has a server make up the first root, which lists a
// targets key of its own, and with it what a tag meant at first.
func TestHistoryOfAnotherBeginning(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	s.do(s.p.Renew(t.Context(), client.RenewRequest{Repository: storyName, Roles: []string{"root"}, Signers: []tuf.Signer{s.root}}))
	s.do(s.p.Renew(t.Context(), client.RenewRequest{Repository: storyName, Roles: []string{"targets"}, Signers: []tuf.Signer{s.bob}}))
	evil := harness.NewKey(t)
	c := s.lied(s.alice, time.Time{}, func(h *api.HistoryResponse) {
		first := fileOf(h, "root", 1)
		root, err := tuf.ReadRoot(first.Content)
		if err != nil {
			t.Fatal(err)
		}
		both := tuf.RoleKeys{Threshold: 1, Keys: []*tuf.Key{s.root.Key(), evil.Key()}}
		for _, role := range []string{"root", "targets"} {
			keys := both
			if role == "targets" {
				keys.Keys = []*tuf.Key{s.alice.Key(), s.bob.Key(), evil.Key()}
			}
			if err := tuf.SetRoleKeys(root, role, keys); err != nil {
				t.Fatal(err)
			}
		}
		root.Signatures = nil
		if err := tuf.Sign(t.Context(), root, evil); err != nil {
			t.Fatal(err)
		}
		if first.Content, err = tuf.Encode(root); err != nil {
			t.Fatal(err)
		}
	})
	if !slices.ContainsFunc(c.Gaps, func(g client.Gap) bool { return g.Role == "root" && g.From == 1 }) {
		t.Errorf("a first root that the server made up is not told: %+v", c.Gaps)
	}
}
