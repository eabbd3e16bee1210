package tuf_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

const repository = "registry.example.com/team/app"

// now is the time of every test in this package.
var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

const day = 24 * time.Hour

// signer returns the key of a person; the same name is the same key.
func signer(t testing.TB, name string) tuf.Signer {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	s, err := tuf.NewSigner(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keys(signers ...tuf.Signer) []*tuf.Key {
	var list []*tuf.Key
	for _, s := range signers {
		list = append(list, s.Key())
	}
	return list
}

// world is one repository with the keys of everybody in it.
type world struct {
	testing.TB
	root, targets, snapshot, timestamp tuf.Signer
	state                              tuf.State
}

// newWorld returns a published repository in which app:1.0 is signed.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, root: signer(t, "alice"), targets: signer(t, "bob"), snapshot: signer(t, "online snapshot"), timestamp: signer(t, "online timestamp")}
	w.state = tuf.State{Roles: map[string]tuf.File{}}
	root := w.newRoot(1)
	w.state.Root = sign(t, tuf.RoleRoot, root, w.root)
	targets := tuf.NewTargets(1, now.Add(180*day))
	w.must(tuf.SetTarget(targets, repository, "1.0", target("one")))
	w.state.Roles[tuf.RoleTargets] = sign(t, tuf.RoleTargets, targets, w.targets)
	w.online(1)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) newRoot(version int64) *tuf.Root {
	w.Helper()
	root, err := tuf.NewRoot(tuf.RootSpec{
		Repository: repository, Version: version, Expires: now.Add(365 * day),
		Root: tuf.RoleKeys{Keys: keys(w.root)}, Targets: tuf.RoleKeys{Keys: keys(w.targets)},
		Snapshot: tuf.RoleKeys{Keys: keys(w.snapshot)}, Timestamp: tuf.RoleKeys{Keys: keys(w.timestamp)},
	})
	w.must(err)
	return root
}

// online signs snapshot and timestamp of the given version over the state.
func (w *world) online(version int64) {
	w.Helper()
	var files []tuf.File
	for _, file := range w.state.Roles {
		files = append(files, file)
	}
	w.state.Snapshot = sign(w, tuf.RoleSnapshot, tuf.NewSnapshot(version, now.Add(7*day), files), w.snapshot)
	w.state.Timestamp = sign(w, tuf.RoleTimestamp, tuf.NewTimestamp(version, now.Add(day), w.state.Snapshot), w.timestamp)
}

// sign signs and encodes one file.
func sign[T metadata.Roles](t testing.TB, role string, md *metadata.Metadata[T], signers ...tuf.Signer) tuf.File {
	t.Helper()
	if err := tuf.Sign(context.Background(), md, signers...); err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(md)
	if err != nil {
		t.Fatal(err)
	}
	file := tuf.File{Role: role, Bytes: data}
	switch md := any(md).(type) {
	case *tuf.Root:
		file.Version = md.Signed.Version
	case *tuf.Targets:
		file.Version = md.Signed.Version
	case *tuf.Snapshot:
		file.Version = md.Signed.Version
	case *tuf.Timestamp:
		file.Version = md.Signed.Version
	}
	return file
}

// target returns a target whose manifest is content.
func target(content string) tuf.Target {
	return tuf.Target{Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))), Length: int64(len(content)), MediaType: "application/vnd.oci.image.index.v1+json"}
}

func wantRule(t testing.TB, err error, rule tuf.Rule) {
	t.Helper()
	if !errors.Is(err, rule) || !tuf.IsRefusal(err) {
		t.Fatalf("got %v, want a refusal by the rule %q", err, rule)
	}
}

func TestWholeStateVerifiesAndAnswers(t *testing.T) {
	w := newWorld(t)
	trusted, err := tuf.CheckState(repository, &w.state, now, tuf.Limits{})
	w.must(err)
	match, err := trusted.Search(tuf.TagPath(repository, "1.0"), nil)
	w.must(err)
	if match.Target.Digest != target("one").Digest || match.Role != tuf.RoleTargets {
		t.Fatalf("app:1.0 is %+v", match)
	}
	_, err = trusted.Search(tuf.TagPath(repository, "2.0"), nil)
	wantRule(t, err, tuf.RuleAbsent)
}

func TestPublishOneTagMore(t *testing.T) {
	w := newWorld(t)
	targets, err := tuf.ReadTargets(w.state.Roles[tuf.RoleTargets].Bytes)
	w.must(err)
	targets.Signed.Version++
	targets.Signatures = nil
	w.must(tuf.SetTarget(targets, repository, "1.1", target("two")))
	file := sign(t, tuf.RoleTargets, targets, w.targets, signer(t, "eve"))
	next, changed, err := tuf.CheckPublish(repository, &w.state, []tuf.File{file}, tuf.PublishRules{Now: now})
	w.must(err)
	if len(changed) != 1 || next.Roles[tuf.RoleTargets].Version != 2 {
		t.Fatalf("changed %v, versions %v", changed, next.Versions())
	}
	stored, err := tuf.ReadTargets(changed[0].Bytes)
	w.must(err)
	if len(stored.Signatures) != 1 || stored.Signatures[0].KeyID != w.targets.Key().ID() {
		t.Fatalf("eve's signature was kept: %v", stored.Signatures)
	}
	w.state = *next
	w.online(2)
	if _, err := tuf.CheckState(repository, &w.state, now, tuf.Limits{}); err != nil {
		t.Fatal(err)
	}
	// The answer got lost, and the publisher sends the same again.
	_, changed, err = tuf.CheckPublish(repository, &w.state, []tuf.File{file}, tuf.PublishRules{Now: now})
	if err != nil || changed != nil {
		t.Fatalf("same publish again: %v, %v", changed, err)
	}
}

// A registry says the media type, and the publisher's screen shows it.
func TestMediaTypeIsOne(t *testing.T) {
	for _, media := range []string{"a/b\n  signed by alice", "application/\u200bindex", "none", "a/" + strings.Repeat("b", 300)} {
		bad := target("x")
		bad.MediaType = media
		wantRule(t, tuf.SetTarget(tuf.NewTargets(1, now), repository, "1.0", bad), tuf.RuleShape)
	}
}
