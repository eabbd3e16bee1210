package tuf_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

func TestStateTellsItsVersions(t *testing.T) {
	w := team(t)
	w.online(4)
	if diff := cmp.Diff(map[string]int64{"root": 1, "targets": 1, "team": 1, "snapshot": 4, "timestamp": 4}, w.state.Versions()); diff != "" {
		t.Error(diff)
	}
	file := tuf.File{Role: "team", Version: 3, Bytes: []byte("abc")}
	if file.Name() != "3.team.json" || file.SHA256() != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("%s %s", file.Name(), file.SHA256())
	}
}

// What an update says of the files to come is what was signed of them.
func TestUpdateSaysWhatToFetch(t *testing.T) {
	w := team(t)
	trusted, err := tuf.NewTrusted(repository, w.state.Root.Bytes, now, tuf.Limits{})
	w.must(err)
	if m := trusted.SnapshotMeta(); m.Version != 0 || m.Hashes != nil {
		t.Errorf("before the timestamp: %+v", m)
	}
	if _, ok := trusted.RoleMeta("targets"); ok || trusted.Timestamp() != nil || trusted.Snapshot() != nil {
		t.Error("before the snapshot it knows of targets")
	}
	w.must(trusted.UpdateTimestamp(w.state.Timestamp.Bytes))
	if m := trusted.SnapshotMeta(); m.Version != 1 || m.Length != int64(len(w.state.Snapshot.Bytes)) || !m.Matches(w.state.Snapshot.Bytes) {
		t.Errorf("of the snapshot: %+v", m)
	}
	w.must(trusted.UpdateSnapshot(w.state.Snapshot.Bytes, false))
	for role, file := range w.state.Roles {
		if m, ok := trusted.RoleMeta(role); !ok || m.Version != 1 || !m.Matches(file.Bytes) {
			t.Errorf("of %s: %+v", role, m)
		}
	}
	if _, ok := trusted.RoleMeta("nobody"); ok {
		t.Error("it knows of a role that nobody listed")
	}
	if !trusted.Now().Equal(now) || trusted.Repository() != repository || trusted.Timestamp().Signed.Version != 1 || trusted.Snapshot().Signed.Version != 1 {
		t.Error("it does not say what it was given")
	}
}

// A limit for signers holds for all delegated roles, one for a role for that role.
func TestLifeIsLimitedByRole(t *testing.T) {
	carol := signer(t, "carol")
	for _, c := range []struct {
		claim string
		max   map[string]time.Duration
		ok    bool
	}{
		{"the default", nil, true},
		{"signers are limited", map[string]time.Duration{"signer": 10 * day}, false},
		{"targets are limited, which does not mean signers", map[string]time.Duration{"targets": 10 * day}, true},
		{"this signer is limited", map[string]time.Duration{"team": 10 * day}, false},
	} {
		w := team(t)
		file := w.next("team", func(md *tuf.Targets) { md.Signed.Expires = now.Add(20 * day) }, carol)
		_, _, err := tuf.CheckPublish(repository, &w.state, []tuf.File{file}, tuf.PublishRules{Now: now, MaxLife: c.max})
		if c.ok && err != nil {
			t.Errorf("%s: %v", c.claim, err)
		}
		if !c.ok {
			wantRule(t, err, tuf.RuleExpiry)
		}
	}
	if l := (tuf.Limits{Keys: 5}).WithDefaults(); l.Keys != 5 || l.Bytes != 16<<20 || l.Signatures == 0 {
		t.Errorf("got %+v", l)
	}
}
