package client

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

// TestDecisionTellsWhenItWasSigned signs as a publisher does, and renews.
func TestDecisionTellsWhenItWasSigned(t *testing.T) {
	b := newBench(t)
	if d := b.trusts("1.0", "one"); d.Signed != nil || d.Platforms != nil {
		t.Errorf("what was signed before there was a date: %+v", d)
	}
	p, changes := b.publisher()
	first := b.clock.Now()
	request := b.signRequest("2.0", "two")
	request.Tags[0].Target.Platforms = []string{"linux/amd64", "linux/arm64/v8"}
	if _, err := p.Sign(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	file := (*changes)[0].Files[0]
	if file.Signed == nil || !file.Signed.Equal(first) || len(file.Members) > 0 {
		t.Errorf("the change: signed %v, members %v", file.Signed, file.Members)
	}
	d := b.trusts("2.0", "two")
	if d.Signed == nil || !d.Signed.Equal(first) || !slices.Equal(d.Platforms, request.Tags[0].Target.Platforms) {
		t.Errorf("%+v", d)
	}
	d, err := b.client().Verify(t.Context(), tuf.Image{Repository: appName, Digest: digestOf("two")}, Options{Offline: true})
	if err != nil || d.Signed == nil || !d.Signed.Equal(first) || len(d.Platforms) != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	view, err := b.client().View(t.Context(), appName, Options{})
	if err != nil || !slices.Equal(view.Tag("2.0").Platforms, request.Tags[0].Target.Platforms) {
		t.Errorf("%+v, %v", view, err)
	}
	b.clock.Add(time.Hour)
	if _, err := p.Renew(t.Context(), RenewRequest{Repository: appName, Roles: []string{tuf.RoleTargets}, Signers: b.repo.targetsKeys}); err != nil {
		t.Fatal(err)
	}
	if d := b.trusts("2.0", "two"); !d.Signed.Equal(first.Add(time.Hour)) {
		t.Errorf("renewed: %v", d.Signed)
	}
	b.refuses("3.0", tuf.RuleAbsent)
	if d, _ := b.verify("3.0"); d.Signed != nil || d.Platforms != nil {
		t.Errorf("refused: %+v", d)
	}
}

// TestSignedByTheNewest has two signers vouch; the newest date counts.
func TestSignedByTheNewest(t *testing.T) {
	b := newBench(t)
	alice := newKey(t)
	b.mayAlice(alice)
	early, late := b.clock.Now().Add(-48*time.Hour), b.clock.Now().Add(-time.Hour)
	b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { tuf.SetSigned(md, early) })
	b.repo.edit("alice", func(md *tuf.Targets) {
		b.repo.must(tuf.SetTarget(md, appName, "a1", target(digestOf("one"))))
		tuf.SetSigned(md, late)
	}, alice)
	for _, test := range []struct {
		image tuf.Image
		want  time.Time
	}{
		{tuf.Image{Repository: appName, Tag: "1.0"}, early},
		{tuf.Image{Repository: appName, Tag: "a1"}, late},
		{tuf.Image{Repository: appName, Digest: digestOf("one")}, late},
	} {
		d, err := b.client().Verify(t.Context(), test.image, Options{})
		if err != nil || d.Signed == nil || !d.Signed.Equal(test.want) {
			t.Errorf("%v: %v, %v, expected %v", test.image, d.Signed, err, test.want)
		}
	}
}

// TestSignedAgainAfterALostTry gives the same command hours after a failure: it has to
// sign the very bytes of the first time, though the clock goes on.
func TestSignedAgainAfterALostTry(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	b.server.setIntercept(func(w responseWriter, r *request) bool {
		if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v1/publish/") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	if _, err := p.Sign(t.Context(), b.signRequest("2.0", "two")); err == nil {
		t.Fatal("the server was down")
	}
	first := (*changes)[0].Files[0].Payload
	b.server.setIntercept(nil)
	b.clock.Add(3 * time.Hour)
	b.repo.stamp(b.repo.timestamp.Version + 1)
	if _, err := p.Sign(t.Context(), b.signRequest("2.0", "two")); err != nil {
		t.Fatal(err)
	}
	last := (*changes)[len(*changes)-1].Files[0].Payload
	if diff := cmp.Diff(string(first), string(last)); diff != "" {
		t.Errorf("two contents were signed for one version: %s", diff)
	}
}

// TestPublishInTheFuture has the clock of whoever signs run ahead.
func TestPublishInTheFuture(t *testing.T) {
	b := newBench(t)
	b.config.Now = func() time.Time { return b.clock.Now().Add(90 * time.Minute) }
	p, _ := b.publisher()
	if _, err := p.Sign(t.Context(), b.signRequest("2.0", "two")); err == nil || !strings.Contains(err.Error(), "Signet publish") {
		t.Errorf("%v", err)
	}
}
