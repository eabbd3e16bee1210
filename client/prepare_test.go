package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/tuf"
)

// A counting key counts its signatures.
type countingKey struct {
	tuf.Signer
	signed int
}

func (k *countingKey) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	k.signed++
	return k.Signer.Sign(ctx, msg)
}

// TestPrepared shows before it signs, and signs what was shown.
func TestPrepared(t *testing.T) {
	b := newBench(t)
	p, asked := b.publisher()
	key := &countingKey{Signer: b.repo.targetsKeys[0]}
	b.repo.targetsKeys[0] = key
	published := b.repo.roles[tuf.RoleTargets].Version
	prepared, err := p.PrepareSign(t.Context(), b.signRequest("2.0", "two"))
	if err != nil {
		t.Fatal(err)
	}
	if key.signed > 0 || len(*asked) > 0 || b.repo.roles[tuf.RoleTargets].Version != published {
		t.Fatalf("preparing signed %d times, asked %d times, or published", key.signed, len(*asked))
	}
	if file := prepared.Change.Files[0]; len(file.Targets) != 2 || !cmp.Equal(file.SignedBy, ids(key)) || file.Version != 3 {
		t.Errorf("%+v", prepared.Change)
	}
	shown := prepared.Change
	out, err := prepared.Publish(t.Context())
	if err != nil || out.Change != shown || key.signed != 1 || len(*asked) > 0 {
		t.Fatalf("%+v, %v: %d signatures, asked %d times", out, err, key.signed, len(*asked))
	}
	b.trusts("2.0", "two")
	if _, err := prepared.Publish(t.Context()); err == nil || key.signed != 1 {
		t.Errorf("published twice: %v", err)
	}
	again, err := p.PrepareSign(t.Context(), b.signRequest("2.0", "two"))
	if err != nil || again.Change != nil {
		t.Fatalf("%+v, %v: it is signed already", again, err)
	}
	if out, err := again.Publish(t.Context()); err != nil || out.Change != nil || out.Versions["targets"] != 3 || key.signed != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestPreparedLosesRace asks again, with what is there now, when somebody else
// published after the change was shown, and signs nothing more after a no.
func TestPreparedLosesRace(t *testing.T) {
	b := newBench(t)
	p, asked := b.publisher()
	prepared, err := p.PrepareSign(t.Context(), b.signRequest("2.0", "ours"))
	if err != nil {
		t.Fatal(err)
	}
	b.repo.sign("2.0", digestOf("theirs"))
	out, err := prepared.Publish(t.Context())
	if err != nil || len(*asked) != 1 || !(*asked)[0].Rebased || out.Change != (*asked)[0] || prepared.Change != out.Change {
		t.Fatalf("%+v, %v, asked %d times", out, err, len(*asked))
	}
	if old := out.Change.Files[0].Targets[0].Old; old == nil || old.Digest != digestOf("theirs") {
		t.Errorf("it was not shown what is there now: %+v", out.Change.Files[0].Targets)
	}
	b.trusts("2.0", "ours")
	if prepared, err = p.PrepareSign(t.Context(), b.signRequest("3.0", "ours")); err != nil {
		t.Fatal(err)
	}
	b.repo.sign("3.0", digestOf("theirs"))
	no := errors.New("no")
	p.Confirm = func(context.Context, *Change) error { return no }
	if _, err := prepared.Publish(t.Context()); !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	b.trusts("3.0", "theirs")
}

// TestInitTwice refuses a repository that is there before anybody touches a key,
// but for the very one that was asked for, whose first answer got lost.
func TestInitTwice(t *testing.T) {
	b := newBench(t)
	empty := newRepo(t, "registry.example.com/team/new", b.clock)
	b.server.repos[empty.name] = empty
	p, asked := b.publisher()
	alice, bob := &countingKey{Signer: newKey(t)}, &countingKey{Signer: newKey(t)}
	request := InitRequest{Repository: empty.name, Root: tuf.RoleKeys{Keys: publicKeys(alice)}, Targets: tuf.RoleKeys{Keys: publicKeys(bob)}, Signers: []tuf.Signer{alice, bob}}
	fresh := func() { p.Client = New(Config{StateDir: t.TempDir(), Now: b.clock.Now}) }
	fresh()
	if _, err := p.Init(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(5 * 60e9) // so that the same files would not come out
	*asked, alice.signed, bob.signed = nil, 0, 0
	fresh()
	out, err := p.Init(t.Context(), request)
	if err != nil || out.Change != nil || out.Anchor == nil || out.Anchor.RootKeys[0] != alice.Key().ID() || out.Versions["root"] != 1 {
		t.Errorf("the very same again: %+v, %v", out, err)
	}
	exists := func(what string, edit func(*InitRequest)) {
		t.Helper()
		r := request
		edit(&r)
		fresh()
		if _, err := p.Init(t.Context(), r); !errors.Is(err, ErrExists) || !errors.Is(err, tuf.ErrConflict) || tuf.IsRefusal(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	swap := func(r *InitRequest) { r.Root, r.Targets = r.Targets, r.Root }
	exists("another root key", swap)
	exists("another targets key", func(r *InitRequest) { r.Targets, r.Signers = r.Root, r.Signers[:1] })
	exists("another targets threshold", func(r *InitRequest) {
		r.Targets = tuf.RoleKeys{Keys: publicKeys(alice, bob), Threshold: 2}
	})
	fresh()
	p.Anchor = out.Anchor
	if _, err := p.Sign(t.Context(), SignRequest{Repository: empty.name, Tags: []TagTarget{{"1.0", target(digestOf("x"))}}, Signers: []tuf.Signer{bob}}); err != nil {
		t.Fatal(err)
	}
	p.Anchor, *asked, alice.signed, bob.signed = nil, nil, 0, 0
	exists("something was signed since", func(*InitRequest) {})
	if len(*asked) > 0 || alice.signed+bob.signed > 0 {
		t.Errorf("asked %d times, signed %d times", len(*asked), alice.signed+bob.signed)
	}
	// Somebody is faster between the question and the publish.
	racy := newRepo(t, "registry.example.com/team/racy", b.clock)
	b.server.repos[racy.name] = racy
	request.Repository = racy.name
	fresh()
	prepared, err := p.PrepareInit(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	racy.start()
	if _, err := prepared.Publish(t.Context()); !errors.Is(err, ErrExists) {
		t.Errorf("created by somebody else meanwhile: %v", err)
	}
}

// TestInitUnderAnotherAnchor refuses before anybody touches a key what this
// machine would refuse to read afterwards.
func TestInitUnderAnotherAnchor(t *testing.T) {
	b := newBench(t)
	empty := newRepo(t, "registry.example.com/team/new", b.clock)
	b.server.repos[empty.name] = empty
	p, asked := b.publisher()
	alice := &countingKey{Signer: newKey(t)}
	keys := tuf.RoleKeys{Keys: publicKeys(alice)}
	request := InitRequest{Repository: empty.name, Root: keys, Targets: keys, Signers: []tuf.Signer{alice}}
	for name, anchor := range map[string]Anchor{
		"another key": b.anchor,
		"a file":      {Pattern: b.anchor.Pattern, RootSHA256: digestHex(nil), Servers: b.anchor.Servers},
		"one of two":  {Pattern: b.anchor.Pattern, RootKeys: append(ids(alice), b.anchor.RootKeys...), Servers: b.anchor.Servers},
	} {
		p.Anchor = &anchor
		if _, err := p.Init(t.Context(), request); tuf.RuleOf(err) != tuf.RuleAnchor || alice.signed > 0 || len(*asked) > 0 {
			t.Errorf("%s: %v, after %d signatures", name, err, alice.signed)
		}
	}
}

// TestInitAsksWhetherItExists tells a server that cannot say from one that has no
// such repository.
func TestInitAsksWhetherItExists(t *testing.T) {
	b := newBench(t)
	p, asked := b.publisher()
	p.Client = New(Config{StateDir: t.TempDir(), Now: b.clock.Now})
	b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "1.root.json") {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	alice := newKey(t)
	keys := tuf.RoleKeys{Keys: publicKeys(alice)}
	if _, err := p.Init(t.Context(), InitRequest{Repository: "registry.example.com/team/new", Root: keys, Targets: keys, Signers: []tuf.Signer{alice}}); err == nil || errors.Is(err, ErrExists) || len(*asked) > 0 {
		t.Errorf("%v, asked %d times", err, len(*asked))
	}
}
