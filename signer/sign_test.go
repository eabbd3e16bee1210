package signer

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

func TestSignedVerifiesAsAClientWould(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	bob := newSigner(t)
	r := alice.first(b)
	checkServed(t, r, b.mustSign(r), noon)

	r.Roles = []tuf.File{alice.targetsFile(2, "two", alice.delegate("bob", bob)), signerFile(t, "bob", 1, bob)}
	signed := b.mustSign(r)
	checkServed(t, r, signed, noon)
	if got := versions(signed); got != "2/2" {
		t.Fatalf("versions %s, expected 2/2", got)
	}
	last, err := b.Last(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	want := &api.Last{Root: r.Roots[0], Roles: []tuf.File{r.Roles[1], r.Roles[0]}, Signed: *signed}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Fatalf("Last is not what was signed: %s", diff)
	}
}

func TestVersionsAndReuse(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	r := alice.first(b)
	first := b.mustSign(r)
	again := b.mustSign(r)
	if versions(again) != "1/2" || !bytes.Equal(again.Snapshot.Bytes, first.Snapshot.Bytes) {
		t.Fatalf("a retry got %s, expected the same snapshot and the next timestamp", versions(again))
	}
	for _, step := range []struct {
		name  string
		after time.Duration
		want  string
	}{
		{"a young snapshot is used again", 24 * time.Hour, "1/3"},
		{"also with just above a third of its life left", 4*24*time.Hour + 15*time.Hour, "1/4"},
		{"one with a third left is signed anew", 4*24*time.Hour + 16*time.Hour, "2/5"},
		{"and then serves again", 5 * 24 * time.Hour, "2/6"},
		{"an expired one too", 30 * 24 * time.Hour, "3/7"},
	} {
		b.now = noon.Add(step.after)
		signed, err := b.Refresh(t.Context(), refreshOf(again))
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if versions(signed) != step.want {
			t.Fatalf("%s: %s, expected %s", step.name, versions(signed), step.want)
		}
		checkServed(t, r, signed, b.now)
		again = signed
	}
}

// Each case starts from root 2, targets 3 with bob's role, all signed for.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *refusalCase)
		want   error
	}{
		{"the same again is fine", func(c *refusalCase) {}, nil},
		{"the next targets are fine", func(c *refusalCase) { c.r.Roles[0] = c.alice.targetsFile(4, "four", c.withBob) }, nil},
		{"targets that skip a version", func(c *refusalCase) { c.r.Roles[0] = c.alice.targetsFile(5, "five", c.withBob) }, tuf.RuleVersion},
		{"a signer's file that skips a version", func(c *refusalCase) { c.r.Roles[1] = signerFile(t, "bob", 3, c.bob) }, tuf.RuleVersion},
		{"a new signer's file that does not begin with 1", func(c *refusalCase) {
			c.r.Roles[0] = c.alice.targetsFile(4, "four", c.alice.delegate("carol", c.bob))
			c.r.Roles = append(c.r.Roles, signerFile(t, "carol", 2, c.bob))
		}, tuf.RuleVersion},
		{"older targets", func(c *refusalCase) { c.r.Roles[0] = c.alice.targetsFile(2, "two", c.withBob) }, tuf.ErrConflict},
		{"the same version of targets with other bytes", func(c *refusalCase) { c.r.Roles[0] = c.alice.targetsFile(3, "else", c.withBob) }, tuf.ErrConflict},
		{"the same version of a signer with other bytes", func(c *refusalCase) {
			c.r.Roles[1].Bytes = append(c.r.Roles[1].Bytes[:len(c.r.Roles[1].Bytes):len(c.r.Roles[1].Bytes)], '\n')
		}, tuf.ErrConflict},
		{"an old root alone", func(c *refusalCase) { c.r.Roots = c.r.Roots[:1] }, tuf.ErrConflict},
		{"the same version of root with other bytes", func(c *refusalCase) {
			c.r.Roots[1] = c.alice.rootFile(2, c.snapshot, c.timestamp, func(s *tuf.RootSpec) { s.Expires = s.Expires.AddDate(0, 0, -1) })
		}, tuf.ErrConflict},
		{"the newest root alone is fine", func(c *refusalCase) { c.r.Roots = c.r.Roots[1:] }, nil},
		{"the next root is fine", func(c *refusalCase) {
			c.r.Roots = [][]byte{c.alice.rootFile(3, c.snapshot, c.timestamp, nil)}
		}, nil},
		{"a root with a gap before it", func(c *refusalCase) {
			c.r.Roots = append(c.r.Roots, c.alice.rootFile(4, c.snapshot, c.timestamp, nil))
		}, tuf.RuleRootChain},
		{"roots in the wrong order", func(c *refusalCase) { c.r.Roots[0], c.r.Roots[1] = c.r.Roots[1], c.r.Roots[0] }, api.ErrBadRequest},
		{"a root by a stranger", func(c *refusalCase) {
			eve := newPublisher(t)
			c.r.Roots = append(c.r.Roots, eve.rootFile(3, c.snapshot, c.timestamp, nil))
		}, tuf.RuleThreshold},
		{"a root of another repository", func(c *refusalCase) {
			c.alice.repository = "registry.example/team/other"
			c.r.Roots = append(c.r.Roots, c.alice.rootFile(3, c.snapshot, c.timestamp, nil))
		}, tuf.RuleRepository},
		{"a root with a stranger's snapshot key", func(c *refusalCase) {
			c.r.Roots = append(c.r.Roots, c.alice.rootFile(3, newSigner(t).Key(), c.timestamp, nil))
		}, tuf.RuleOnlineKey},
		{"a root with a stranger's timestamp key beside ours", func(c *refusalCase) {
			c.r.Roots = append(c.r.Roots, c.alice.rootFile(3, c.snapshot, c.timestamp, func(s *tuf.RootSpec) {
				s.Timestamp.Keys = append(s.Timestamp.Keys, newSigner(t).Key())
			}))
		}, tuf.RuleOnlineKey},
		{"a root with the keys of another repository of this signer", func(c *refusalCase) {
			snapshot, timestamp := c.b.onlineKeys("registry.example/team/other")
			c.r.Roots = append(c.r.Roots, c.alice.rootFile(3, snapshot, timestamp, nil))
		}, tuf.RuleOnlineKey},
		{"a root with the online keys swapped", func(c *refusalCase) {
			c.r.Roots = append(c.r.Roots, c.alice.rootFile(3, c.timestamp, c.snapshot, nil))
		}, tuf.RuleOnlineKey},
		{"a root that expires beyond the limit", func(c *refusalCase) {
			c.r.Roots = append(c.r.Roots, c.alice.rootFile(3, c.snapshot, c.timestamp, func(s *tuf.RootSpec) { s.Expires = noon.AddDate(4, 0, 0) }))
		}, tuf.RuleExpiry},
		{"a root that has expired", func(c *refusalCase) {
			c.r.Roots = append(c.r.Roots, c.alice.rootFile(3, c.snapshot, c.timestamp, func(s *tuf.RootSpec) { s.Expires = noon }))
		}, tuf.RuleExpired},
		{"targets that expire beyond the limit", func(c *refusalCase) {
			c.r.Roles[0] = c.alice.targetsFile(4, "four", func(m *tuf.Targets) { c.withBob(m); m.Signed.Expires = noon.AddDate(2, 0, 0) })
		}, tuf.RuleExpiry},
		{"targets that have expired", func(c *refusalCase) {
			c.r.Roles[0] = c.alice.targetsFile(4, "four", func(m *tuf.Targets) { c.withBob(m); m.Signed.Expires = noon })
		}, tuf.RuleExpired},
		{"targets by a stranger", func(c *refusalCase) {
			c.alice.targets = newSigner(t)
			c.r.Roles[0] = c.alice.targetsFile(4, "four", c.withBob)
		}, tuf.RuleThreshold},
		{"a signer's file by a stranger", func(c *refusalCase) { c.r.Roles[1] = signerFile(t, "bob", 2, newSigner(t)) }, tuf.RuleThreshold},
		{"a signer's file missing", func(c *refusalCase) { c.r.Roles = c.r.Roles[:1] }, tuf.RuleDelegation},
		{"a version that the bytes do not state", func(c *refusalCase) { c.r.Roles[0].Version = 4 }, tuf.RuleVersion},
		{"a file that nobody delegates to", func(c *refusalCase) {
			c.r.Roles = append(c.r.Roles, signerFile(t, "mallory", 1, newSigner(t)))
		}, tuf.RuleDelegation},
		{"a removed signer whose file stays is fine", func(c *refusalCase) { c.r.Roles[0] = c.alice.targetsFile(4, "four", nil) }, nil},
		{"a removed signer whose file is gone", func(c *refusalCase) {
			c.r.Roles = []tuf.File{c.alice.targetsFile(4, "four", nil)}
		}, tuf.RuleRollback},
		{"a removed signer with a newer file", func(c *refusalCase) {
			c.r.Roles = []tuf.File{c.alice.targetsFile(4, "four", nil), signerFile(t, "bob", 2, c.bob)}
		}, tuf.RuleDelegation},
		{"a snapshot to list", func(c *refusalCase) { c.r.Roles = append(c.r.Roles, c.signed.Snapshot) }, tuf.RuleName},
		{"a timestamp to list", func(c *refusalCase) { c.r.Roles = append(c.r.Roles, c.signed.Timestamp) }, tuf.RuleName},
		{"a root to list", func(c *refusalCase) {
			c.r.Roles = append(c.r.Roles, tuf.File{Role: tuf.RoleRoot, Version: 2, Bytes: c.r.Roots[1]})
		}, tuf.RuleName},
		{"a role twice", func(c *refusalCase) { c.r.Roles = append(c.r.Roles, c.r.Roles[0]) }, api.ErrBadRequest},
		{"no root", func(c *refusalCase) { c.r.Roots = nil }, api.ErrBadRequest},
		{"bytes that are no root", func(c *refusalCase) { c.r.Roots = [][]byte{[]byte("{}")} }, tuf.RuleShape},
		{"a name that is none", func(c *refusalCase) { c.r.Repository = "../etc" }, tuf.RuleName},
		{"the request of one repository for another", func(c *refusalCase) { c.r.Repository = "registry.example/team/other" }, tuf.RuleRepository},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newRefusalCase(t)
			before, err := c.b.Last(t.Context(), app)
			if err != nil {
				t.Fatal(err)
			}
			test.change(c)
			signed, err := c.b.Sign(t.Context(), c.r)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, expected %v", err, test.want)
			}
			if err == nil {
				checkServed(t, c.r, signed, noon)
				return
			}
			after, err := c.b.Last(t.Context(), app)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Fatalf("a refusal changed what the signer remembers: %s", diff)
			}
		})
	}
}

type refusalCase struct {
	b                   *bench
	alice               *publisher
	bob                 tuf.Signer
	withBob             func(*tuf.Targets)
	snapshot, timestamp *tuf.Key
	r                   api.SignRequest
	signed              *api.Signed
}

func newRefusalCase(t *testing.T) *refusalCase {
	t.Helper()
	c := &refusalCase{b: newBench(t), alice: newPublisher(t), bob: newSigner(t)}
	c.withBob = c.alice.delegate("bob", c.bob)
	c.snapshot, c.timestamp = c.b.onlineKeys(app)
	root := c.alice.rootFile(1, c.snapshot, c.timestamp, nil)
	c.b.mustSign(c.alice.request([][]byte{root}, c.alice.targetsFile(1, "one", nil)))
	c.b.mustSign(c.alice.request([][]byte{root}, c.alice.targetsFile(2, "two", nil)))
	c.r = c.alice.request([][]byte{root, c.alice.rootFile(2, c.snapshot, c.timestamp, nil)},
		c.alice.targetsFile(3, "three", c.withBob), signerFile(t, "bob", 1, c.bob))
	c.signed = c.b.mustSign(c.r)
	return c
}

func TestRefreshNamesTheLastSnapshot(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	r := alice.first(b)
	if _, err := b.Refresh(t.Context(), api.RefreshRequest{Repository: app, SnapshotVersion: 1, SnapshotSHA256: r.Roles[0].SHA256()}); !errors.Is(err, tuf.ErrNotFound) {
		t.Fatalf("refresh before anything was signed: %v, expected not found", err)
	}
	first := b.mustSign(r)
	r.Roles[0] = alice.targetsFile(2, "two", nil)
	second := b.mustSign(r)
	if _, err := b.Refresh(t.Context(), refreshOf(first)); !errors.Is(err, tuf.ErrConflict) {
		t.Fatalf("refresh of a snapshot that is not the last: %v, expected a conflict", err)
	}
	other := refreshOf(second)
	other.SnapshotSHA256 = first.Snapshot.SHA256()
	if _, err := b.Refresh(t.Context(), other); !errors.Is(err, tuf.ErrConflict) {
		t.Fatalf("refresh of another snapshot under the last version: %v, expected a conflict", err)
	}
	if _, err := b.Refresh(t.Context(), refreshOf(second)); err != nil {
		t.Fatal(err)
	}
}

// Twenty requests at once, all different: whoever loses is told, and each version
// of each role has one content.
func TestConcurrentSigning(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	r := alice.first(b)
	b.mustSign(r)
	seen := contents{}
	var mu sync.Mutex
	var wins int
	var wg sync.WaitGroup
	for i := range 20 {
		mine := alice.request(r.Roots, alice.targetsFile(2, fmt.Sprint("content ", i), nil))
		wg.Go(func() {
			signed, err := b.Sign(t.Context(), mine)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				wins++
				seen.add(t, signed)
			case !errors.Is(err, tuf.ErrConflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if wins != 1 {
		t.Fatalf("%d requests won, expected one", wins)
	}
	if _, err := b.VerifyLog(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Two processes on one database do not share a lock: the database decides.
func TestTwoProcessesOnOneDatabase(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	r := alice.first(b)
	b.mustSign(r)
	other, err := Open(t.Context(), b.config)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	seen := contents{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 20 {
		service := []*Service{b.Service, other}[i%2]
		wg.Go(func() {
			signed, err := service.Sign(t.Context(), r)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				seen.add(t, signed)
			} else if !errors.Is(err, tuf.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := b.VerifyLog(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// contents remembers what each version of each role contained.
type contents map[string]string

func (c contents) add(t *testing.T, signed *api.Signed) {
	t.Helper()
	for _, f := range []tuf.File{signed.Snapshot, signed.Timestamp} {
		if before, ok := c[f.Name()+fmt.Sprint(f.Version)]; ok && before != f.SHA256() {
			t.Errorf("%s version %d was signed with two contents", f.Role, f.Version)
		}
		c[f.Name()+fmt.Sprint(f.Version)] = f.SHA256()
	}
}

// A signature that was made but not committed never left, so its number is free;
// one that was committed but not answered is found by a retry and by Last.
func TestCrash(t *testing.T) {
	b, alice := newBench(t), newPublisher(t)
	r := alice.first(b)
	b.mustSign(r)
	r.Roles = []tuf.File{alice.targetsFile(2, "two", nil)}

	if _, err := b.prepareSign(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	b.restart() // between signing and commit
	last, err := b.Last(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if versions(&last.Signed) != "1/1" {
		t.Fatalf("after a crash before the commit the signer is at %s, expected 1/1", versions(&last.Signed))
	}

	c, err := b.prepareSign(t.Context(), &r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.finish(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b.restart() // between commit and answer
	if last, err = b.Last(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&c.signed, &last.Signed); diff != "" {
		t.Fatalf("what was committed is not what Last returns: %s", diff)
	}
	if _, err := b.finish(t.Context(), c); !errors.Is(err, tuf.ErrConflict) {
		t.Fatalf("the same commit twice: %v, expected a conflict", err)
	}
	retry := b.mustSign(r)
	if versions(retry) != "2/3" || !bytes.Equal(retry.Snapshot.Bytes, last.Snapshot.Bytes) {
		t.Fatalf("a retry got %s, expected the committed snapshot and the next timestamp", versions(retry))
	}
	other := alice.request(r.Roots, alice.targetsFile(2, "another two", nil))
	if _, err := b.Sign(t.Context(), other); !errors.Is(err, tuf.ErrConflict) {
		t.Fatalf("another content for a version that was committed unanswered: %v, expected a conflict", err)
	}
}
