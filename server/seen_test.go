package server_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// With a signer elsewhere, recover says once what is to be run there, and the next time
// goes on, also where something is lost for good.
func TestRestoreListsWhatIsLostWithASignerElsewhere(t *testing.T) {
	for _, refreshed := range []bool{false, true} {
		h, p, seen := putBackMachine(t)
		seen.Roles = nil
		done, err := h.Server.Restore(t.Context(), app, seen, nil)
		if err != nil || done.Raise[tuf.RoleTargets] != 5 {
			t.Fatalf("%+v, %v", done, err)
		}
		if done, err = h.Server.Restore(t.Context(), app, seen, nil); err != nil || done.Raise == nil {
			t.Fatalf("before the signer was raised: %+v, %v", done, err)
		}
		if err := h.Signer.Raise(t.Context(), app, done.Raise); err != nil {
			t.Fatal(err)
		}
		if refreshed {
			h.Clock.Advance(13 * time.Hour)
			if h.Server.RefreshDue(t.Context()) != 1 {
				t.Fatal("it is not refreshed")
			}
		}
		done, err = h.Server.Restore(t.Context(), app, seen, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&server.Recovery{Repository: app, Again: []server.Again{{Role: tuf.RoleTargets, Stored: 2, Seen: 5}}}, done); diff != "" {
			t.Errorf("refreshed in between: %t: %s", refreshed, diff)
		}
		p.Targets.Signed.Version = 5
		p.Publish(t)
		above(t, h, seen, 6)
	}
}

// Readers' folders come one after the other. What a publisher was asked to sign above is
// not put back by a later one, and does not keep the rest from being recovered.
func TestRestoreInAnyOrder(t *testing.T) {
	h, p, seen := putBackMachine(t)
	later := seen
	seen.Roles = nil
	first, err := h.Server.Restore(t.Context(), app, seen, raised(h))
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Server.Restore(t.Context(), app, later, raised(h))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
	p.Targets.Signed.Version = 5
	p.Publish(t)
	above(t, h, later, 6)
}

// What nobody has published is not published by recovery, however well it is signed: a
// file of a withdrawn proposal, or by whoever stole a key and has no token.
func TestRestorePublishesNothing(t *testing.T) {
	h, p, seen := putBackMachine(t)
	before, err := h.Store.Head(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	p.Tag(t, "1.0", harness.Digest("never published"))
	newer := p.Next(t)
	p.Targets.Signed.Version = 5
	other := p.SignTargets(t)
	for claim, files := range map[string][]tuf.File{
		"a version above all that were published": {seen.Roles[0], newer},
		"another content for one that was":        {other},
	} {
		changed := seen
		changed.Roles = files
		if done, err := h.Server.Restore(t.Context(), app, changed, raised(h)); !errors.Is(err, tuf.RuleHash) {
			t.Errorf("%s: %+v, %v", claim, done, err)
		}
	}
	if after, err := h.Store.Head(t.Context(), app); err != nil || after.Generation != before.Generation || len(after.Floors) > 0 {
		t.Errorf("something was changed: %+v, %v", after, err)
	}
	// A version in between, which the newest replaced, is no sign of anything.
	p.Targets.Signed.Version = 4
	seen.Roles = append(seen.Roles, p.SignTargets(t))
	if done, err := h.Server.Restore(t.Context(), app, seen, raised(h)); err != nil || len(done.PutBack) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	above(t, h, seen, 5)
}

// Somebody had the online keys and ran versions ahead. As long as root lists these keys,
// recovery says that only root can help; once it lists others, whoever hands in what the
// stolen ones signed neither blocks recovery nor moves a version.
func TestRestoreAfterAFastForward(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) { c.Signer.AdoptExisting = true })
	p := h.Publisher(t, app)
	targets := p.First(t)[1]
	stolen := harness.NewKey(t)
	online := map[string]tuf.RoleKeys{}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		online[role] = tuf.RoleKeysOf(p.Root, role)
		if err := tuf.SetRoleKeys(p.Root, role, tuf.RoleKeys{Keys: []*tuf.Key{stolen.Key()}, Threshold: 1}); err != nil {
			t.Fatal(err)
		}
	}
	// By stands for the signer that had the stolen keys.
	by := func(version int64, roles ...tuf.File) (snapshot, timestamp tuf.File) {
		expires := h.Clock.Now().UTC().Truncate(time.Second).Add(24 * time.Hour)
		s := tuf.NewSnapshot(version, expires, roles)
		if err := tuf.Sign(t.Context(), s, stolen); err != nil {
			t.Fatal(err)
		}
		data, err := tuf.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		snapshot = tuf.File{Role: tuf.RoleSnapshot, Version: version, Bytes: data}
		ts := tuf.NewTimestamp(version, expires, snapshot)
		if err := tuf.Sign(t.Context(), ts, stolen); err != nil {
			t.Fatal(err)
		}
		if data, err = tuf.Encode(ts); err != nil {
			t.Fatal(err)
		}
		return snapshot, tuf.File{Role: tuf.RoleTimestamp, Version: version, Bytes: data}
	}
	root := p.SignRoot(t)
	snapshot, timestamp := by(1, targets)
	now := h.Clock.Now()
	_, err := harness.NewStore(h.Store, &harness.Faults{}).Publish(t.Context(), server.Publication{
		Repository: app, Files: []tuf.File{root, targets, snapshot, timestamp}, At: now, RefreshAt: now.Add(time.Hour),
		TimestampExpires: now.Add(24 * time.Hour), RootExpires: p.Root.Signed.Expires,
	})
	if err != nil {
		t.Fatal(err)
	}
	var seen server.Seen
	for _, versions := range [][3]int64{{math.MaxInt64, math.MaxInt64, 7}, {7, 1 << 50, 7}, {math.MaxInt64 - 1, 7, 1 << 62}, {7, 7, 1_000_002}} {
		forged := targets
		forged.Version = versions[2]
		s, _ := by(versions[1], forged)
		_, ts := by(versions[0], forged)
		seen.Snapshots, seen.Timestamps = append(seen.Snapshots, s), append(seen.Timestamps, ts)
		now := server.Seen{Snapshots: []tuf.File{s}, Timestamps: []tuf.File{ts}}
		if done, err := h.Server.Restore(t.Context(), app, now, raised(h)); err == nil || !strings.Contains(err.Error(), "signet rotate "+app) {
			t.Errorf("%v: %+v, %v", versions, done, err)
		}
	}
	if floors, err := h.Store.Floors(t.Context(), app); err != nil || len(floors.Versions) > 0 {
		t.Errorf("floors %v, %v", floors.Versions, err)
	}

	p.Root.Signed.Version = 2
	for role, keys := range online {
		if err := tuf.SetRoleKeys(p.Root, role, keys); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t)); err != nil {
		t.Fatal(err)
	}
	for _, elsewhere := range []bool{false, true} {
		raise := raised(h)
		if elsewhere {
			raise = nil
		}
		done, err := h.Server.Restore(t.Context(), app, seen, raise)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&server.Recovery{Repository: app}, done); diff != "" {
			t.Error(diff)
		}
	}
	p.Publish(t)
	verify(t, h, app)
}
