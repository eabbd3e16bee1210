package client_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
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

// TestThiefLeavesASigner has a thief of a targets key let a key of their own in: to take
// the stolen one away is not enough.
func TestThiefLeavesASigner(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	theft, evil := s.h.Clock.Now().Truncate(time.Second), harness.NewKey(t)
	s.do(s.p.AddSigner(t.Context(), client.AddSignerRequest{Repository: storyName, Name: "evil", Tags: []string{"h-*"},
		Keys: tuf.RoleKeys{Keys: []*tuf.Key{evil.Key()}}, Signers: []tuf.Signer{s.alice, evil}}))
	s.do(s.p.ChangeKeys(t.Context(), client.ChangeKeysRequest{Repository: storyName, Role: "release", Add: []*tuf.Key{evil.Key()}, Signers: []tuf.Signer{s.alice, evil}}))
	s.sign("h-1", 8, "evil", evil)
	s.sign("v9", 9, "release", evil)
	s.sign("1.0", 2, "targets", s.alice)

	check := func(c *client.Compromise) {
		t.Helper()
		var brought []string
		for _, b := range c.Brought {
			if b.KeyID != evil.Key().ID() || b.Delegator != "targets" || b.Time.Before(theft) {
				t.Errorf("%+v", b)
			}
			brought = append(brought, fmt.Sprint(b.Role, " all=", b.All))
		}
		if !slices.Equal(brought, []string{"evil all=true", "release all=false"}) {
			t.Errorf("the thief's key is in %q", brought)
		}
		var doubtful []string
		for _, d := range c.Doubtful {
			doubtful = append(doubtful, d.Tag)
		}
		if !slices.Equal(doubtful, []string{"1.0", "h-1", "v9"}) {
			t.Errorf("doubtful: %q", doubtful)
		}
	}
	check(s.compromised(s.alice, theft))
	if c := s.compromised(s.alice, time.Time{}); len(c.Brought) != 3 { // release's own key, too: all that it ever did is in doubt
		t.Errorf("%+v", c.Brought)
	}
	// That a thief's own key signs, too, makes nothing less doubtful.
	check(s.lied(s.alice, theft, func(h *api.HistoryResponse) {
		for i := range h.Publications {
			for j, f := range h.Publications[i].Files {
				if f.Role != "targets" || h.Publications[i].Time.Before(theft) {
					continue
				}
				targets, err := tuf.ReadTargets(f.Content)
				if err != nil {
					t.Fatal(err)
				}
				if err := tuf.Sign(t.Context(), targets, evil); err != nil {
					t.Fatal(err)
				}
				if h.Publications[i].Files[j].Content, err = tuf.Encode(targets); err != nil {
					t.Fatal(err)
				}
			}
		}
	}))
	// What is taken out is told no more.
	carol := harness.NewKey(t)
	s.do(s.p.ChangeKeys(t.Context(), client.ChangeKeysRequest{Repository: storyName, Role: "targets", Remove: []string{s.alice.Key().ID()},
		Add: []*tuf.Key{carol.Key()}, Signers: []tuf.Signer{s.root, carol, s.bob}}))
	s.do(s.p.RemoveSigner(t.Context(), client.RemoveSignerRequest{Repository: storyName, Name: "evil", Signers: []tuf.Signer{carol}}))
	s.do(s.p.ChangeKeys(t.Context(), client.ChangeKeysRequest{Repository: storyName, Role: "release", Remove: []string{evil.Key().ID()}, Signers: []tuf.Signer{carol, s.r}}))
	if c := s.compromised(s.alice, theft); len(c.Brought) != 0 {
		t.Errorf("%+v", c.Brought)
	}
}
