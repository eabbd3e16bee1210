package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// publisher returns a publisher on the bench's server, and the changes that it
// was asked to confirm.
func (b *bench) publisher() (*Publisher, *[]*Change) {
	changes := &[]*Change{}
	return &Publisher{
		Client: b.client(),
		Server: Server{URL: b.server.URL, CA: b.server.ca(), Identity: b.server.identity.Key(), Token: "signet_x_y"},
		Confirm: func(_ context.Context, change *Change) error {
			*changes = append(*changes, change)
			return nil
		},
	}, changes
}

func (b *bench) signRequest(tag, word string) SignRequest {
	return SignRequest{Repository: appName, Tags: []TagTarget{{tag, target(digestOf(word))}}, Signers: b.repo.targetsKeys}
}

// TestPublish takes a repository through its life.
func TestPublish(t *testing.T) {
	b := newBench(t)
	empty := newRepo(t, "registry.example.com/team/new", b.clock)
	b.server.repos[empty.name] = empty
	p, changes := b.publisher()
	var reasons []string
	p.WithReason = func(ctx context.Context, reason string) context.Context {
		reasons = append(reasons, reason)
		return ctx
	}
	alice, bob, carol := newKey(t), newKey(t), newKey(t)
	out, err := p.Init(t.Context(), InitRequest{
		Repository: empty.name, Root: tuf.RoleKeys{Keys: publicKeys(alice)}, Targets: tuf.RoleKeys{Keys: publicKeys(bob)},
		Signers: []tuf.Signer{alice, bob}, Attestations: map[string][]string{alice.Key().ID(): {"PEM"}}})
	// The bench's anchor is for team/*, and pins another root key.
	if tuf.RuleOf(err) != tuf.RuleAnchor {
		t.Fatalf("%+v, %v: expected the anchor to be in the way", out, err)
	}
	if len(empty.served()) > 0 {
		t.Fatal("what this machine would refuse was published")
	}
	p.Client = New(Config{StateDir: t.TempDir(), Now: b.clock.Now})
	out, err = p.Init(t.Context(), InitRequest{
		Repository: empty.name, Root: tuf.RoleKeys{Keys: publicKeys(alice)}, Targets: tuf.RoleKeys{Keys: publicKeys(bob)},
		Signers: []tuf.Signer{alice, bob}, Attestations: map[string][]string{alice.Key().ID(): {"PEM"}}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Anchor == nil || !cmp.Equal(out.Anchor.RootKeys, []string{alice.Key().ID()}) || out.Anchor.Pattern != empty.name || out.Versions["root"] != 1 {
		t.Fatalf("%+v", out)
	}
	p.Client = New(Config{StateDir: t.TempDir(), Now: b.clock.Now, Anchors: Anchors{*out.Anchor}})
	verify := func(image tuf.Image) (*Decision, error) {
		image.Repository = empty.name
		return p.Client.Verify(t.Context(), image, Options{})
	}
	*changes, reasons = nil, nil
	one, two := target(digestOf("one")), target(digestOf("two"))
	out, err = p.Sign(t.Context(), SignRequest{Repository: empty.name, Tags: []TagTarget{{"1.0", one}, {"latest", one}}, Signers: []tuf.Signer{bob}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Versions["targets"] != 2 || len(*changes) != 1 || len((*changes)[0].Files[0].Targets) != 4 {
		t.Errorf("%+v, %+v", out, *changes)
	}
	if diff := cmp.Diff([]string{"targets version 2 of " + empty.name}, reasons); diff != "" {
		t.Error(diff)
	}
	if _, err = p.Sign(t.Context(), SignRequest{Repository: empty.name, Tags: []TagTarget{{"latest", two}}, Signers: []tuf.Signer{bob}}); err != nil {
		t.Fatal(err)
	}
	file := (*changes)[1].Files[0]
	if len(file.Targets) != 2 || file.Targets[0].Old.Digest != one.Digest || file.Targets[0].New.Digest != two.Digest || file.Targets[1].Old != nil {
		t.Errorf("%+v", file.Targets)
	}
	if d, err := verify(tuf.Image{Tag: "latest"}); err != nil || d.Digest != two.Digest {
		t.Errorf("%+v, %v", d, err)
	}
	if out, err = p.Sign(t.Context(), SignRequest{Repository: empty.name, Tags: []TagTarget{{"latest", two}}, Signers: []tuf.Signer{bob}}); err != nil || out.Change != nil || len(*changes) != 2 {
		t.Errorf("signed again: %+v, %v", out, err)
	}
	if _, err = p.Revoke(t.Context(), RevokeRequest{Repository: empty.name, Tag: "latest", Digest: one.Digest, Signers: []tuf.Signer{bob}}); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(tuf.Image{Tag: "latest", Digest: one.Digest}); tuf.RuleOf(err) != tuf.RuleDigest {
		t.Errorf("a revoked digest: %v", err)
	}
	if _, err = p.Revoke(t.Context(), RevokeRequest{Repository: empty.name, Tag: "latest", Signers: []tuf.Signer{bob}}); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(tuf.Image{Tag: "latest"}); tuf.RuleOf(err) != tuf.RuleAbsent {
		t.Errorf("a revoked tag: %v", err)
	}
	if _, err = p.Revoke(t.Context(), RevokeRequest{Repository: empty.name, Tag: "latest", Signers: []tuf.Signer{bob}}); tuf.RuleOf(err) != tuf.RuleAbsent {
		t.Errorf("revoked twice: %v", err)
	}
	_, err = p.ChangeKeys(t.Context(), ChangeKeysRequest{Repository: empty.name, Role: tuf.RoleRoot, Add: publicKeys(carol), Remove: ids(alice),
		Attestations: map[string][]string{carol.Key().ID(): {"PEM2"}}, Signers: []tuf.Signer{alice, carol}})
	if err != nil {
		t.Fatal(err)
	}
	keys := (*changes)[len(*changes)-1].Files[0].Keys
	if len(keys) != 2 || keys[0].Added || !keys[0].Key.Equal(alice.Key()) || !keys[1].Added || !keys[1].Key.Equal(carol.Key()) {
		t.Errorf("%+v", keys)
	}
	view, err := p.Client.View(t.Context(), empty.name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := view.Role("root"); r.Version != 2 || r.Keys[0].ID != carol.Key().ID() || !cmp.Equal(view.Attestations, map[string][]string{carol.Key().ID(): {"PEM2"}}) {
		t.Errorf("%+v, %+v", r, view.Attestations)
	}
	// Whoever pinned alice follows, with state or without.
	p.Client.config.StateDir = t.TempDir()
	if d, err := verify(tuf.Image{Tag: "1.0"}); err != nil || d.Digest != one.Digest {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestRenew signs anew what expires soon, or has expired already.
func TestRenew(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	if out, err := p.Renew(t.Context(), RenewRequest{Repository: appName, Within: 30 * day, Signers: b.repo.targetsKeys}); err != nil || out.Change != nil {
		t.Errorf("nothing is due: %+v, %v", out, err)
	}
	out, err := p.Renew(t.Context(), RenewRequest{Repository: appName, Signers: b.repo.targetsKeys})
	if err != nil || out.Versions["targets"] != 3 || out.Versions["root"] != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err = p.Renew(t.Context(), RenewRequest{Repository: appName, Roles: []string{"root"}, Signers: b.repo.rootKeys}); err != nil || out.Versions["root"] != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	b.clock.Add(181 * day)
	b.repo.release()
	b.refuses("1.0", tuf.RuleExpired)
	*changes = nil
	if _, err = p.Renew(t.Context(), RenewRequest{Repository: appName, Within: 30 * day, Signers: b.repo.targetsKeys}); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal((*changes)[0].Expired, []string{"targets"}) {
		t.Errorf("the change does not say what has expired: %+v", (*changes)[0])
	}
	b.trusts("1.0", "one")
	// Root and targets both have expired.
	b.clock.Add(400 * day)
	b.repo.release()
	b.refuses("1.0", tuf.RuleExpired)
	if _, err = p.Renew(t.Context(), RenewRequest{Repository: appName, Signers: append(b.repo.rootKeys, b.repo.targetsKeys...)}); err != nil {
		t.Fatal(err)
	}
	b.trusts("1.0", "one")
	// A timestamp that has expired is not worked around.
	b.clock.Add(2 * day)
	if _, err = p.Renew(t.Context(), RenewRequest{Repository: appName, Signers: b.repo.targetsKeys}); tuf.RuleOf(err) != tuf.RuleExpired {
		t.Errorf("an expired timestamp: %v", err)
	}
	b.clock.Add(400 * day) // nor when root has expired as well, and before it
	b.repo.release()
	b.clock.Add(2 * day)
	_, err = p.Renew(t.Context(), RenewRequest{Repository: appName, Signers: append(b.repo.rootKeys, b.repo.targetsKeys...)})
	if e, ok := errors.AsType[*tuf.ExpiredError](err); !ok || e.Role != "timestamp" {
		t.Errorf("an expired timestamp and root: %v", err)
	}
}

// TestPublishRace has somebody else publish between the reading and the sending.
func TestPublishRace(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	agree := p.Confirm
	raced := false
	p.Confirm = func(ctx context.Context, change *Change) error {
		if !raced {
			raced = true
			b.repo.sign("2.0", digestOf("theirs"))
		}
		return agree(ctx, change)
	}
	if _, err := p.Sign(t.Context(), b.signRequest("2.0", "ours")); err != nil {
		t.Fatal(err)
	}
	if len(*changes) != 2 || (*changes)[0].Rebased || !(*changes)[1].Rebased {
		t.Fatalf("%+v", *changes)
	}
	if c := (*changes)[1].Files[0].Targets[0]; c.Old == nil || c.Old.Digest != digestOf("theirs") {
		t.Errorf("the second question does not show what is there now: %+v", c)
	}
	b.trusts("2.0", "ours")
	// Whoever says no the second time leaves the other's tag alone.
	raced, no := false, errors.New("no")
	p.Confirm = func(_ context.Context, change *Change) error {
		if change.Rebased {
			return no
		}
		raced = true
		b.repo.sign("3.0", digestOf("theirs"))
		return nil
	}
	if _, err := p.Sign(t.Context(), b.signRequest("3.0", "ours")); !errors.Is(err, no) || !raced {
		t.Errorf("%v", err)
	}
	b.trusts("3.0", "theirs")
	// Who always loses gives up, and is told.
	p.Confirm = func(context.Context, *Change) error { b.repo.sign("4.0", digestOf("theirs")); return nil }
	if _, err := p.Sign(t.Context(), b.signRequest("5.0", "ours")); !errors.Is(err, tuf.ErrConflict) || tuf.IsRefusal(err) {
		t.Errorf("%v", err)
	}
}

// TestLostAnswer breaks the connection before or after the server took a publish.
func TestLostAnswer(t *testing.T) {
	hangUp := func(w http.ResponseWriter) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			conn.Close()
		}
	}
	for name, lose := range map[string]func(b *bench, w http.ResponseWriter, r *http.Request){
		"before": func(_ *bench, w http.ResponseWriter, _ *http.Request) { hangUp(w) },
		"after": func(b *bench, w http.ResponseWriter, r *http.Request) {
			b.server.publish(httptest.NewRecorder(), r, appName)
			hangUp(w)
		},
		"after, and somebody has published since": func(b *bench, w http.ResponseWriter, r *http.Request) {
			b.server.publish(httptest.NewRecorder(), r, appName)
			b.repo.sign("3.0", digestOf("theirs"))
			hangUp(w)
		},
		"in a proxy": func(b *bench, w http.ResponseWriter, r *http.Request) {
			b.server.publish(httptest.NewRecorder(), r, appName)
			w.WriteHeader(http.StatusBadGateway)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			p, _ := b.publisher()
			lost := false
			b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
				if lost || r.Method != http.MethodPost {
					return false
				}
				lost = true
				lose(b, w, r)
				return true
			})
			if _, err := p.Sign(t.Context(), b.signRequest("2.0", "ours")); err != nil || !lost {
				t.Fatal(err)
			}
			b.trusts("2.0", "ours")
			if strings.Contains(name, "somebody") {
				b.trusts("3.0", "theirs")
			}
		})
	}
}

// TestServerThatLies acknowledges what it does not serve.
func TestServerThatLies(t *testing.T) {
	b := newBench(t)
	p, _ := b.publisher()
	b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		w.Write([]byte(`{"repository":"` + appName + `","generation":9,"versions":{}}`))
		return true
	})
	_, err := p.Sign(t.Context(), b.signRequest("2.0", "ours"))
	if e, ok := errors.AsType[*ServerError](err); !ok || e.Trouble != TroubleAnswer {
		t.Errorf("got %v", err)
	}
}

// TestKeysThatDoNotFit refuses before anybody is asked to touch anything.
func TestKeysThatDoNotFit(t *testing.T) {
	b := newBench(t)
	eve, alice := newKey(t), newKey(t)
	p, changes := b.publisher()
	ci := newKey(t)
	b.repo.delegate(tuf.RoleTargets, b.repo.targetsKeys, delegation{name: "ci", keys: []tuf.Signer{ci}, paths: []string{appName + ":ci-*", appName + ":ci-*@sha256:*"}})
	sign := func(edit func(*SignRequest)) error {
		r := b.signRequest("2.0", "x")
		edit(&r)
		_, err := p.Sign(t.Context(), r)
		return err
	}
	for name, err := range map[string]error{
		"a stranger's key":         sign(func(r *SignRequest) { r.Signers = []tuf.Signer{eve} }),
		"a stranger's key as well": sign(func(r *SignRequest) { r.Signers = append(r.Signers[:1:1], eve) }),
		"a stranger's key by role": sign(func(r *SignRequest) { r.Role = "targets"; r.Signers = append(r.Signers[:1:1], eve) }),
		"no key":                   sign(func(r *SignRequest) { r.Signers = nil }),
		"no key by role":           sign(func(r *SignRequest) { r.Role, r.Signers = "targets", nil }),
		"another role's key":       sign(func(r *SignRequest) { r.Role = "ci" }),
		"a root key that is not": func() error {
			_, err := p.ChangeKeys(t.Context(), ChangeKeysRequest{Repository: appName, Role: tuf.RoleRoot, Add: publicKeys(alice), Remove: ids(eve), Signers: append(b.repo.rootKeys, alice)})
			return err
		}(),
		"a rotation without a root": func() error {
			_, err := p.ChangeKeys(t.Context(), ChangeKeysRequest{Repository: appName, Role: tuf.RoleRoot, Add: publicKeys(alice), Remove: b.anchor.RootKeys, Signers: []tuf.Signer{alice}})
			return err
		}(),
		"a renewal by a stranger": func() error {
			_, err := p.Renew(t.Context(), RenewRequest{Repository: appName, Signers: []tuf.Signer{eve}})
			return err
		}(),
	} {
		if !errors.Is(err, ErrKeys) || tuf.IsRefusal(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := sign(func(r *SignRequest) { r.Signers = []tuf.Signer{ci} }); tuf.RuleOf(err) != tuf.RulePath {
		t.Errorf("a signer outside of its patterns: %v", err)
	}
	if err := sign(func(r *SignRequest) { r.Role = "nobody" }); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("an unknown role: %v", err)
	}
	if len(*changes) > 0 {
		t.Errorf("somebody was asked: %+v", *changes)
	}
	// ci alone signs inside of its patterns, and is found by its key.
	if err := sign(func(r *SignRequest) { r.Tags[0].Tag = "ci-1"; r.Signers = []tuf.Signer{ci} }); err != nil {
		t.Error(err)
	}
	if d := b.trusts("ci-1", "x"); d.Signers[0] != "ci" {
		t.Errorf("%+v", d)
	}
}

// TestThresholdOfTwo needs both keys for every step.
func TestThresholdOfTwo(t *testing.T) {
	b := newBench(t)
	empty := newRepo(t, "registry.example.com/two/app", b.clock)
	b.server.repos[empty.name] = empty
	p, _ := b.publisher()
	alice, bob, carol := newKey(t), newKey(t), newKey(t)
	both := tuf.RoleKeys{Keys: publicKeys(alice, bob), Threshold: 2}
	init := InitRequest{Repository: empty.name, Root: both, Targets: both, Signers: []tuf.Signer{alice}}
	if _, err := p.Init(t.Context(), init); !errors.Is(err, ErrKeys) {
		t.Fatalf("one of two: %v", err)
	}
	init.Signers = []tuf.Signer{alice, bob}
	out, err := p.Init(t.Context(), init)
	if err != nil {
		t.Fatal(err)
	}
	p.Anchor = out.Anchor
	request := SignRequest{Repository: empty.name, Tags: []TagTarget{{"1.0", target(digestOf("x"))}}, Signers: []tuf.Signer{bob}}
	if _, err := p.Sign(t.Context(), request); !errors.Is(err, ErrKeys) {
		t.Errorf("one of two: %v", err)
	}
	request.Signers = []tuf.Signer{bob, alice}
	if _, err := p.Sign(t.Context(), request); err != nil {
		t.Error(err)
	}
	rotate := ChangeKeysRequest{Repository: empty.name, Role: tuf.RoleRoot, Add: publicKeys(carol), Remove: ids(alice), Signers: []tuf.Signer{alice, carol}}
	if _, err := p.ChangeKeys(t.Context(), rotate); !errors.Is(err, ErrKeys) {
		t.Errorf("one of two: %v", err)
	}
	rotate.Signers = []tuf.Signer{alice, bob, carol}
	if _, err := p.ChangeKeys(t.Context(), rotate); err != nil {
		t.Error(err)
	}
	if d, err := p.Client.Verify(t.Context(), tuf.Image{Repository: empty.name, Tag: "1.0"}, Options{Anchor: out.Anchor}); err != nil || !d.Trusted {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestOnlineKeysOfAnotherSigner keeps a server from slipping in keys of its own.
func TestOnlineKeysOfAnotherSigner(t *testing.T) {
	b := newBench(t)
	empty := newRepo(t, "registry.example.com/x/app", b.clock)
	b.server.repos[empty.name] = empty
	p, changes := b.publisher()
	alice := newKey(t)
	init := InitRequest{Repository: empty.name, Root: tuf.RoleKeys{Keys: publicKeys(alice)}, Targets: tuf.RoleKeys{Keys: publicKeys(alice)}, Signers: []tuf.Signer{alice}}
	for name, identity := range map[string]*tuf.Key{"another": newKey(t).Key(), "none": nil} {
		p.Server.Identity = identity
		if _, err := p.Init(t.Context(), init); tuf.RuleOf(err) != tuf.RuleOnlineKey {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.Server.Identity = b.server.identity.Key()
	b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1/online-keys/") {
			return false
		}
		b.server.onlineKeys(w, appName) // honestly signed, for another repository
		return true
	})
	if _, err := p.Init(t.Context(), init); tuf.RuleOf(err) != tuf.RuleOnlineKey {
		t.Errorf("another repository's: %v", err)
	}
	if len(*changes) > 0 {
		t.Error("somebody was asked to sign it")
	}
}

// TestServerRefuses hands on what the server says.
func TestServerRefuses(t *testing.T) {
	b := newBench(t)
	p, _ := b.publisher()
	for _, refusal := range []error{api.ErrUnauthorized, api.ErrForbidden, api.ErrSignerUnavailable, api.ErrTooLarge, tuf.RuleThreshold} {
		b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost {
				return false
			}
			if r.Header.Get("Authorization") != "Bearer signet_x_y" {
				t.Errorf("the token is %q", r.Header.Get("Authorization"))
			}
			if rule, ok := refusal.(tuf.Rule); ok {
				problem(w, &tuf.Refusal{Rule: rule, Detail: "too few"})
			} else {
				problem(w, refusal)
			}
			return true
		})
		began := time.Now()
		_, err := p.Sign(t.Context(), b.signRequest("2.0", "ours"))
		if !errors.Is(err, refusal) || tuf.IsRefusal(err) || strings.Contains(err.Error(), "signet_x_y") {
			t.Errorf("%v: got %v", refusal, err)
		}
		if time.Since(began) > 5*time.Second {
			t.Errorf("%v was asked for again and again", refusal)
		}
	}
}
