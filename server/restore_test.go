package server_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/signer"
	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// putBackMachine is a server whose machine was put back as it was: it has targets version 2,
// and readers have seen version 5 and what the signer, which has forgotten it, signed
// for that.
func putBackMachine(t *testing.T) (*harness.Harness, *harness.Publisher, server.Seen) {
	t.Helper()
	h := harness.Start(t)
	p := h.Publisher(t, app)
	first := p.First(t)
	if _, err := p.Client.Publish(t.Context(), app, first...); err != nil {
		t.Fatal(err)
	}
	p.Tag(t, "1.0", harness.Digest("one"))
	p.Publish(t)

	// The same signer, as it went on.
	dir := t.TempDir()
	backup := filepath.Join(dir, "backup.db")
	if _, err := h.Signer.Backup(t.Context(), backup, true); err != nil {
		t.Fatal(err)
	}
	config := signer.Config{Dir: filepath.Join(dir, "signer"), Now: h.Clock.Now}
	if _, err := signer.Restore(t.Context(), config, backup, 5); err != nil {
		t.Fatal(err)
	}
	later, err := signer.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = later.Close() })
	p.Targets.Signed.Version = 4
	p.Tag(t, "1.1", harness.Digest("two"))
	targets := p.Next(t)
	signed, err := later.Sign(t.Context(), signerapi.SignRequest{Repository: app, Roots: [][]byte{first[0].Bytes}, Roles: []tuf.File{targets}})
	if err != nil {
		t.Fatal(err)
	}
	return h, p, server.Seen{
		Roots: first[:1], Roles: []tuf.File{targets}, Snapshots: []tuf.File{signed.Snapshot}, Timestamps: []tuf.File{signed.Timestamp},
	}
}

// raised is how a signer in the same process is raised.
func raised(h *harness.Harness) func(context.Context, map[string]int64) error {
	return func(ctx context.Context, seen map[string]int64) error { return h.Signer.Raise(ctx, app, seen) }
}

// above holds what is served to what readers have seen: nothing of it steps back.
func above(t *testing.T, h *harness.Harness, seen server.Seen, targets int64) {
	t.Helper()
	state, err := h.Client(h.AdminToken).State(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, h, app)
	if got := state.Roles[tuf.RoleTargets].Version; got != targets {
		t.Errorf("targets version %d, expected %d", got, targets)
	}
	if state.Snapshot.Version <= seen.Snapshots[0].Version || state.Timestamp.Version <= seen.Timestamps[0].Version {
		t.Errorf("snapshot %d, timestamp %d; readers have seen %d and %d", state.Snapshot.Version, state.Timestamp.Version, seen.Snapshots[0].Version, seen.Timestamps[0].Version)
	}
}

// What a reader still has is put back, without any publisher.
func TestRestorePutsBack(t *testing.T) {
	h, p, seen := putBackMachine(t)
	done, err := h.Server.Restore(t.Context(), app, seen, raised(h))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&server.Recovery{Repository: app, PutBack: []string{"5.targets.json"}}, done); diff != "" {
		t.Error(diff)
	}
	above(t, h, seen, 5)
	if got := tags(t, h, app)["1.1"]; got != harness.Digest("two") {
		t.Errorf("1.1 means %q", got)
	}
	if done, err = h.Server.Restore(t.Context(), app, seen, raised(h)); err != nil || len(done.PutBack) > 0 || done.Raise != nil {
		t.Errorf("once more: %+v, %v", done, err)
	}
	p.Publish(t)
	above(t, h, seen, 6)
}

// What nobody has any more is listed, and one publish above it is enough.
func TestRestoreListsWhatIsLost(t *testing.T) {
	h, p, seen := putBackMachine(t)
	seen.Roles = nil
	done, err := h.Server.Restore(t.Context(), app, seen, raised(h))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&server.Recovery{Repository: app, Again: []server.Again{{Role: tuf.RoleTargets, Stored: 2, Seen: 5}}}, done); diff != "" {
		t.Error(diff)
	}
	h.Clock.Advance(13 * 60 * 60 * 1e9)
	if h.Server.RefreshDue(t.Context()) != 1 {
		t.Error("what is left is not refreshed")
	}
	above(t, h, seen, 2)
	for _, version := range []int64{3, 5, 7} {
		p.Targets.Signed.Version = version - 1
		if _, err := p.Client.Publish(t.Context(), app, p.Next(t)); !errors.Is(err, tuf.ErrConflict) {
			t.Errorf("targets version %d: %v, expected a conflict", version, err)
		}
	}
	p.Targets.Signed.Version = 5
	p.Publish(t)
	above(t, h, seen, 6)
	p.Publish(t) // and so on
}

// A signer elsewhere is raised by its own operator first; until then nothing changes.
func TestRestoreWaitsForTheSigner(t *testing.T) {
	h, _, seen := putBackMachine(t)
	before, err := h.Store.Head(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	done, err := h.Server.Restore(t.Context(), app, seen, nil)
	if err != nil || done.Raise[tuf.RoleTimestamp] <= seen.Timestamps[0].Version || done.Raise[tuf.RoleSnapshot] <= seen.Snapshots[0].Version {
		t.Fatalf("%+v, %v", done, err)
	}
	if after, err := h.Store.Head(t.Context(), app); err != nil || after.Generation != before.Generation {
		t.Errorf("generation %d, expected %d: %v", after.Generation, before.Generation, err)
	}
	if err := h.Signer.Raise(t.Context(), app, done.Raise); err != nil {
		t.Fatal(err)
	}
	if done, err = h.Server.Restore(t.Context(), app, seen, nil); err != nil || done.Raise != nil || len(done.PutBack) != 1 {
		t.Fatalf("then: %+v, %v", done, err)
	}
	above(t, h, seen, 5)
}

// Files that the repository's own keys have not signed prove nothing and are put back
// nowhere.
func TestRestoreRefusesForgeries(t *testing.T) {
	h, _, seen := putBackMachine(t)
	eve := h.Publisher(t, "registry.example/team/eve")
	eve.Init(t)
	eve.Tag(t, "1.0", harness.Digest("evil"))
	eve.Targets.Signed.Version = 8
	foreign := eve.Next(t)
	theirs, err := h.Store.Head(t.Context(), "registry.example/team/eve")
	if err != nil {
		t.Fatal(err)
	}
	before, err := h.Store.Head(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*server.Seen){
		"targets that another has signed": func(s *server.Seen) { s.Roles = []tuf.File{foreign} },
		"another repository's snapshot":   func(s *server.Seen) { s.Snapshots = []tuf.File{theirs.State.Snapshot} },
		"another repository's timestamp":  func(s *server.Seen) { s.Timestamps = []tuf.File{theirs.State.Timestamp} },
		"another repository's root as the next": func(s *server.Seen) {
			s.Roots = []tuf.File{{Role: tuf.RoleRoot, Version: 2, Bytes: theirs.State.Root.Bytes}}
		},
		"a root beyond one that is missing": func(s *server.Seen) {
			s.Roots = []tuf.File{{Role: tuf.RoleRoot, Version: 3, Bytes: theirs.State.Root.Bytes}}
		},
		"a targets file under a snapshot's name":   func(s *server.Seen) { s.Snapshots = []tuf.File{foreign} },
		"a signer's file that nobody delegates to": func(s *server.Seen) { s.Roles = []tuf.File{{Role: tuf.RoleTargets, Version: 9, Bytes: foreign.Bytes}} },
	} {
		changed := seen
		change(&changed)
		if done, err := h.Server.Restore(t.Context(), app, changed, raised(h)); err == nil {
			t.Errorf("%s was taken: %+v", name, done)
		}
	}
	if after, err := h.Store.Head(t.Context(), app); err != nil || after.Generation != before.Generation || len(after.Floors) > 0 {
		t.Errorf("something was changed: %+v, %v", after, err)
	}
	if last, err := h.Signer.Last(t.Context(), app); err != nil || last.Timestamp.Bytes == nil {
		t.Errorf("the signer was raised: %v", err)
	}
}
