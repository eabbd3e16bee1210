package client

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// TestWatcherSameVerdict does at random what can happen to a repository, and compares
// each answer out of memory, refreshed by cheap confirmations and whole updates, with
// that of a client that asked anew at the time when the answer was confirmed.
func TestWatcherSameVerdict(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { sameVerdicts(t, rand.New(rand.NewPCG(seed, 5)), 120) })
	}
}

func sameVerdicts(t *testing.T, random *rand.Rand, steps int) {
	b := newBench(t)
	alice := newKey(t)
	b.mayAlice(alice)
	reference := b.client()
	b.config.StateDir = t.TempDir()
	other := b.client() // another process, which shares the watcher's folder
	w := b.watcher(WatchConfig{MaxAnswers: 5})
	tags := []string{"1.0", "2.0", "a1", "none"}
	any := func() string { return tags[random.IntN(3)] }
	word := func() string { return digestOf(fmt.Sprint(random.IntN(4))) }
	var kept map[string][]byte // what was served at another time
	down := false
	b.server.setIntercept(func(rw responseWriter, _ *request) bool {
		if down {
			rw.WriteHeader(http.StatusBadGateway)
		}
		return down
	})
	honest := func(do func()) func() {
		return func() {
			if kept == nil {
				do()
			}
		}
	}
	happens := []struct {
		what string
		do   func()
	}{
		{"nothing", func() {}},
		{"nothing", func() {}},
		{"targets sign", honest(func() { b.repo.sign(any(), word()) })},
		{"alice signs", honest(func() { b.repo.signAs("alice", "a1", word(), alice) })},
		{"revoked", honest(func() {
			b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { tuf.RemoveTag(md, appName, any(), "") })
		})},
		{"a new timestamp", honest(func() { b.repo.stamp(b.repo.timestamp.Version + 1) })},
		{"a new root", honest(func() { b.repo.nextRoot(nil) })},
		{"other online keys", honest(func() {
			b.repo.timestampKeys = []tuf.Signer{newKey(t)}
			b.repo.nextRoot(func(root *tuf.Root) { b.repo.must(setKeys(root, tuf.RoleTimestamp, b.repo.timestampKeys...)) })
			b.repo.release()
		})},
		{"other targets keys", honest(func() {
			b.repo.targetsKeys = []tuf.Signer{newKey(t)}
			b.repo.nextRoot(func(root *tuf.Root) { b.repo.must(setKeys(root, tuf.RoleTargets, b.repo.targetsKeys...)) })
			b.repo.edit(tuf.RoleTargets, func(*tuf.Targets) {})
		})},
		{"an expiry ahead", honest(func() {
			role := []string{"timestamp", "snapshot", "targets", "alice"}[random.IntN(4)]
			b.repo.expire(role, b.clock.Now().Add(time.Duration(random.IntN(300))*time.Second), alice)
		})},
		{"renewed", honest(func() {
			b.repo.edit("alice", func(md *tuf.Targets) { md.Signed.Expires = b.clock.Now().Add(day) }, alice)
			b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { md.Signed.Expires = b.clock.Now().Add(day) })
		})},
		{"a step back", func() {
			if kept == nil {
				kept = b.repo.served()
				old := maps.Clone(kept)
				if before, ok := old[fmt.Sprintf("%d.snapshot.json", b.repo.snapshot.Version-1)]; ok {
					timestamp := tuf.NewTimestamp(b.repo.timestamp.Version+1, b.clock.Now().Add(day), tuf.File{Role: "snapshot", Version: b.repo.snapshot.Version - 1, Bytes: before})
					old["timestamp.json"] = finish(b.repo, timestamp, b.repo.timestampKeys)
				}
				b.repo.serve(old)
			}
		}},
		{"served aright", func() {
			if kept != nil {
				b.repo.serve(kept)
				kept = nil
			}
		}},
		{"down", func() { down = true }},
		{"up", func() { down = false }},
		{"up", func() { down = false }},
		{"another process asks", func() { other.Verify(t.Context(), b.tag(any()), Options{}) }},
	}
	type verdict struct {
		trusted bool
		digest  string
		rule    tuf.Rule
	}
	asked := map[string]map[time.Time]verdict{}
	for _, tag := range tags {
		asked[tag] = map[time.Time]verdict{}
	}
	trusted, refusals := 0, 0
	for step := range steps {
		event := happens[random.IntN(len(happens))]
		event.do()
		b.clock.Add(time.Duration(6+random.IntN(20)) * time.Second)
		for _, e := range w.all() {
			e.due.Store(0)
		}
		w.refreshAllDue()
		for _, tag := range tags {
			want, wantErr := reference.Verify(t.Context(), b.tag(tag), Options{})
			asked[tag][b.clock.Now()] = verdict{want.Trusted, want.Digest, tuf.RuleOf(wantErr)}
			got, err := w.Verify(t.Context(), b.tag(tag), Options{})
			at := b.clock.Now()
			if err == nil {
				at = *got.Checked
			}
			expected := asked[tag][at]
			if (verdict{got.Trusted, got.Digest, tuf.RuleOf(err)}) != expected || got.Trusted == (err != nil) {
				t.Fatalf("step %d, after %q: %s is %+v, %v; a client that asked at %v was told %+v", step, event.what, tag, got, err, at, expected)
			}
			if got.Trusted {
				trusted++
			} else {
				refusals++
			}
		}
	}
	if s := w.Stats(); trusted == 0 || refusals == 0 || s.Confirmed == 0 || s.Known == 0 {
		t.Errorf("%d trusted, %d refused, %+v: that proves little", trusted, refusals, s)
	}
}
