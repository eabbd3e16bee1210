package client

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

// watcher returns a Watcher on the bench that does nothing of its own accord:
// refreshAllDue does what the background would.
func (b *bench) watcher(config WatchConfig) *Watcher {
	w := newWatcher(b.client(), config)
	b.t.Cleanup(func() { w.Close() })
	return w
}

// refreshAllDue refreshes what is due by the clock, and waits for it.
func (w *Watcher) refreshAllDue() {
	w.refreshDue()
	w.mu.RLock()
	list := slices.Collect(maps.Values(w.upstreams))
	w.mu.RUnlock()
	for _, u := range list {
		if u.done != nil {
			<-u.done
		}
	}
}

func (b *bench) tag(tag string) tuf.Image { return tuf.Image{Repository: b.repo.name, Tag: tag} }

// watched asks w for a tag, and fails the test unless it is trusted as the digest
// of word.
func (b *bench) watched(w *Watcher, tag, word string, options Options) *Decision {
	b.t.Helper()
	d, err := w.Verify(b.t.Context(), b.tag(tag), options)
	if err != nil || !d.Trusted || d.Digest != digestOf(word) || d.Reference == "" {
		b.t.Fatalf("%s: got %+v, %v; expected the digest of %q", tag, d, err, word)
	}
	return d
}

// unwatched asks w for a tag, and fails the test unless it is refused by rule; "" is
// for trouble.
func (b *bench) unwatched(w *Watcher, tag string, rule tuf.Rule, options Options) error {
	b.t.Helper()
	d, err := w.Verify(b.t.Context(), b.tag(tag), options)
	if err == nil || tuf.RuleOf(err) != rule || d.Trusted || d.Reference != "" || d.Digest != "" || d.Rule != rule || d.Reason == "" {
		b.t.Fatalf("%s: got %+v, %v; expected the rule %q", tag, d, err, rule)
	}
	return err
}

var exceptAge = cmpopts.IgnoreFields(Decision{}, "Age", "Checked")

// TestWatcherAnswersAsClient compares the answers to each shape of question, found
// out and from memory, with those of a client that asks anew each time.
func TestWatcherAnswersAsClient(t *testing.T) {
	b := newBench(t)
	alice := newKey(t)
	b.mayAlice(alice)
	b.repo.sign("latest", digestOf("one"))
	b.repo.sign("latest", digestOf("two"))
	w := b.watcher(WatchConfig{})
	one, two := digestOf("one"), digestOf("two")
	for _, image := range []tuf.Image{{Tag: "1.0"}, {Tag: "latest"}, {Tag: "latest", Digest: one}, {Tag: "latest", Digest: two}, {Digest: one},
		{Digest: two}, {Tag: "none"}, {Tag: "1.0", Digest: two}, {Digest: digestOf("none")}, {Tag: "a1"}, {Tag: "not a tag"}, {}} {
		image.Repository = appName
		want, wantErr := b.client().Verify(t.Context(), image, Options{})
		for range 3 {
			got, err := w.Verify(t.Context(), image, Options{})
			if diff := cmp.Diff(want, got, exceptAge); diff != "" || fmt.Sprint(err) != fmt.Sprint(wantErr) || tuf.RuleOf(err) != tuf.RuleOf(wantErr) {
				t.Errorf("%v: %v, expected %v\n%s", image, err, wantErr, diff)
			}
			if want.Checked != nil && (got.Checked == nil || !got.Checked.Equal(b.clock.Now())) {
				t.Errorf("%v: checked %v", image, got.Checked)
			}
		}
	}
}

// mayAlice lets alice sign the tags that begin with a.
func (b *bench) mayAlice(alice tuf.Signer) {
	b.t.Helper()
	b.repo.delegate(tuf.RoleTargets, b.repo.targetsKeys,
		delegation{name: "alice", keys: []tuf.Signer{alice}, paths: []string{appName + ":a*", appName + ":a*@sha256:*"}})
}

func TestWatcherAnswersFromMemory(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	b.server.taken()
	b.clock.Add(59 * time.Second)
	d := b.watched(w, "1.0", "one", Options{})
	if taken := b.server.taken(); len(taken) > 0 {
		t.Errorf("the server was asked for %v", taken)
	}
	if d.Age != Duration(59*time.Second) || !d.Checked.Equal(b.clock.Now().Add(-59*time.Second)) {
		t.Errorf("age %v, checked %v", d.Age, d.Checked)
	}
	b.repo.sign("1.0", digestOf("two"))
	b.clock.Add(time.Second)
	if d := b.watched(w, "1.0", "two", Options{}); d.Age != 0 {
		t.Errorf("age %v", d.Age)
	}
	if s := w.Stats(); s.Questions != 3 || s.Known != 1 || s.Updates != 2 || s.Repositories != 1 || s.Answers != 1 || s.Bytes == 0 {
		t.Errorf("%+v", s)
	}
}

// TestWatcherDecisionsAreCopies has one asker change what it got.
func TestWatcherDecisionsAreCopies(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	want := b.watched(w, "1.0", "one", Options{})
	d := b.watched(w, "1.0", "one", Options{})
	d.Signers[0], d.Digest, d.Versions["root"] = "eve", digestOf("evil"), 99
	*d.Expires = d.Expires.Add(365 * day)
	if diff := cmp.Diff(want, b.watched(w, "1.0", "one", Options{})); diff != "" {
		t.Error(diff)
	}
}

// TestWatcherRefreshesAhead changes something, and has only the background ask.
func TestWatcherRefreshesAhead(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(b *bench)
		then   func(t *testing.T, b *bench, w *Watcher)
		full   bool // the cheap confirmation does not do
		asks   bool // another server might know better, so it is not for the background to tell
	}{
		{"nothing", func(*bench) {}, func(t *testing.T, b *bench, w *Watcher) { b.watched(w, "1.0", "one", Options{}) }, false, false},
		{"a tag moves", func(b *bench) { b.repo.sign("1.0", digestOf("two")) },
			func(t *testing.T, b *bench, w *Watcher) { b.watched(w, "1.0", "two", Options{}) }, true, false},
		{"a tag is revoked", func(b *bench) {
			b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { tuf.RemoveTag(md, appName, "1.0", "") })
		}, func(t *testing.T, b *bench, w *Watcher) { b.unwatched(w, "1.0", tuf.RuleAbsent, Options{}) }, true, false},
		{"a new root takes the targets key away", func(b *bench) {
			key := newKey(t)
			b.repo.nextRoot(func(root *tuf.Root) { b.repo.must(setKeys(root, tuf.RoleTargets, key)) })
		}, func(t *testing.T, b *bench, w *Watcher) { b.unwatched(w, "1.0", tuf.RuleThreshold, Options{}) }, true, true},
		{"a new timestamp", func(b *bench) { b.repo.stamp(b.repo.timestamp.Version + 1) }, func(t *testing.T, b *bench, w *Watcher) {
			if d := b.watched(w, "1.0", "one", Options{}); d.Versions["timestamp"] != 3 {
				t.Errorf("%v", d.Versions)
			}
		}, true, false},
		{"another process verifies first", func(b *bench) { b.repo.sign("1.0", digestOf("two")); b.trusts("1.0", "two") },
			func(t *testing.T, b *bench, w *Watcher) { b.watched(w, "1.0", "two", Options{}) }, true, false},
		{"another process has seen more than the server shows now", func(b *bench) {
			old := b.repo.served()
			b.repo.sign("1.0", digestOf("two"))
			b.trusts("1.0", "two")
			b.repo.serve(old)
		}, func(t *testing.T, b *bench, w *Watcher) { b.unwatched(w, "1.0", tuf.RuleRollback, Options{}) }, true, false},
		{"another process sees more while the server is asked", func(b *bench) {
			var once atomic.Bool
			b.server.setIntercept(func(rw responseWriter, r *request) bool {
				if !strings.HasSuffix(r.URL.Path, "timestamp.json") || once.Swap(true) {
					return false
				}
				b.repo.sign("1.0", digestOf("two"))
				b.trusts("1.0", "two")
				rw.WriteHeader(http.StatusNotModified) // this answer was on its way all the time
				return true
			})
		}, func(t *testing.T, b *bench, w *Watcher) { b.watched(w, "1.0", "two", Options{}) }, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			w := b.watcher(WatchConfig{})
			b.watched(w, "1.0", "one", Options{})
			b.clock.Add(50 * time.Second)
			test.change(b)
			w.refreshAllDue()
			b.server.taken()
			test.then(t, b, w)
			if taken := b.server.taken(); len(taken) > 0 != test.asks {
				t.Errorf("the server was asked for %v", taken)
			}
			if s := w.Stats(); !test.asks && s.Updates != 2 || (s.Confirmed == 0) != test.full {
				t.Errorf("%+v", s)
			}
		})
	}
}

// setKeys makes keys the only ones of a role.
func setKeys(root *tuf.Root, role string, keys ...tuf.Signer) error {
	return tuf.SetRoleKeys(root, role, tuf.RoleKeys{Keys: publicKeys(keys...)})
}

// TestWatcherJudgesEveryExpiry moves the clock past each role's expiry while the
// answer is young enough, and no server has anything newer.
func TestWatcherJudgesEveryExpiry(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", "alice"} {
		t.Run(role, func(t *testing.T) {
			b := newBench(t)
			alice := newKey(t)
			b.mayAlice(alice)
			b.repo.signAs("alice", "a1", digestOf("one"), alice)
			soon := b.clock.Now().Add(30 * time.Second)
			b.repo.expire(role, soon, alice)
			w := b.watcher(WatchConfig{})
			if d := b.watched(w, "a1", "one", Options{}); !d.Expires.Equal(soon) {
				t.Fatalf("expires %v", d.Expires)
			}
			b.clock.Add(29 * time.Second)
			b.watched(w, "a1", "one", Options{})
			b.watched(w, "a1", "one", Options{Offline: true})
			b.clock.Add(time.Second)
			b.unwatched(w, "a1", tuf.RuleExpired, Options{Offline: true})
			b.unwatched(w, "a1", tuf.RuleExpired, Options{})
			if role != "alice" {
				return
			}
			b.watched(w, "1.0", "one", Options{}) // does not stand on alice's word
		})
	}
}

// TestWatcherJudgesAttestations moves the clock past the end of what vouches for a
// key, of the repository or of a signer, while the answer is young enough.
func TestWatcherJudgesAttestations(t *testing.T) {
	for _, of := range []string{"root", "targets", "alice"} {
		t.Run(of, func(t *testing.T) {
			b := newBench(t)
			soon := b.clock.Now().Add(30 * time.Second).Truncate(time.Second)
			maker := newMaker(t)
			chain := func(role string, key tuf.Signer) []string {
				return attestBy(t, maker, key.Key(), func(c *card.Claim) {
					c.Edit = func(cert *x509.Certificate) {
						if role == of {
							cert.NotAfter = soon
						}
					}
				})
			}
			alice := newKey(t)
			b.mayAlice(alice)
			b.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
				tuf.SetTargetsAttestations(md, map[string][]string{alice.Key().ID(): chain("alice", alice)})
			})
			b.repo.signAs("alice", "a1", digestOf("one"), alice)
			b.attested(chain("root", b.repo.rootKeys[0]), chain("targets", b.repo.targetsKeys[0]))
			b.demands(maker, func(d *attestation.Demand) { d.Signers = true })
			w := b.watcher(WatchConfig{})
			if d := b.watched(w, "a1", "one", Options{}); !d.Expires.Equal(soon) {
				t.Fatalf("expires %v, expected %v", d.Expires, soon)
			}
			b.clock.Add(29 * time.Second)
			b.watched(w, "a1", "one", Options{Held: true})
			b.clock.Add(2 * time.Second)
			b.unheld(w, "a1", Options{})
			b.unwatched(w, "a1", tuf.RuleAttestationExpired, Options{})
			b.unwatched(w, "a1", tuf.RuleAttestationExpired, Options{Offline: true})
			if of == "alice" {
				b.watched(w, "1.0", "one", Options{}) // does not stand on alice's word
			}
		})
	}
}

// expire has the file of a role expire at a time.
func (r *fakeRepo) expire(role string, at time.Time, signer tuf.Signer) {
	r.t.Helper()
	switch role {
	case tuf.RoleRoot:
		r.nextRoot(func(root *tuf.Root) { root.Signed.Expires = at })
	case tuf.RoleTargets:
		r.edit(role, func(md *tuf.Targets) { md.Signed.Expires = at })
	case tuf.RoleSnapshot:
		md, err := tuf.ReadSnapshot(r.snapshot.Bytes)
		r.must(err)
		md.Signed.Version++
		md.Signed.Expires, md.Signatures = at, nil
		data := finish(r, md, r.snapshotKeys)
		r.mu.Lock()
		r.snapshot = tuf.File{Role: role, Version: md.Signed.Version, Bytes: data}
		r.files[r.snapshot.Name()] = data
		r.mu.Unlock()
		r.stamp(r.timestamp.Version + 1)
	case tuf.RoleTimestamp:
		md := tuf.NewTimestamp(r.timestamp.Version+1, at, r.snapshot)
		data := finish(r, md, r.timestampKeys)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.timestamp = tuf.File{Role: role, Version: md.Signed.Version, Bytes: data}
		r.files["timestamp.json"] = data
	default:
		r.edit(role, func(md *tuf.Targets) { md.Signed.Expires = at }, signer)
	}
}

// TestWatcherRefreshesAheadOfExpiry has a timestamp that expires within the interval
// be replaced before it does.
func TestWatcherRefreshesAheadOfExpiry(t *testing.T) {
	b := newBench(t)
	b.repo.expire(tuf.RoleTimestamp, b.clock.Now().Add(time.Minute), nil)
	w := b.watcher(WatchConfig{Refresh: 10 * time.Minute})
	b.watched(w, "1.0", "one", Options{})
	b.repo.stamp(b.repo.timestamp.Version + 1)
	b.clock.Add(2 * time.Minute)
	w.refreshAllDue()
	b.server.taken()
	b.watched(w, "1.0", "one", Options{})
	if taken := b.server.taken(); len(taken) > 0 {
		t.Errorf("the server was asked for %v", taken)
	}
}

func TestWatcherRefusesAClockThatWentBack(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	b.clock.Add(50 * time.Second)
	b.watched(w, "1.0", "one", Options{})
	b.clock.Add(-4 * time.Minute) // clocks are set a little back all the time
	b.watched(w, "1.0", "one", Options{})
	b.clock.Add(-10 * time.Minute)
	b.unwatched(w, "1.0", tuf.RuleClock, Options{})
	b.unwatched(w, "1.0", tuf.RuleClock, Options{Offline: true})
	if err := b.client().ResetClock(t.Context(), appName); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(6 * time.Second)
	b.watched(w, "1.0", "one", Options{})
}

// TestWatcherHoldsRefusalsForSeconds signs a tag just after it was asked for.
func TestWatcherHoldsRefusalsForSeconds(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	b.unwatched(w, "2.0", tuf.RuleAbsent, Options{})
	b.repo.sign("2.0", digestOf("two"))
	b.server.taken()
	b.clock.Add(4 * time.Second)
	b.unwatched(w, "2.0", tuf.RuleAbsent, Options{})
	if taken := b.server.taken(); len(taken) > 0 {
		t.Errorf("the server was asked for %v", taken)
	}
	b.clock.Add(time.Second)
	b.watched(w, "2.0", "two", Options{})
}

// TestWatcherNeverRefusesByOldNews asks for the first time for what was signed since
// the last refresh.
func TestWatcherNeverRefusesByOldNews(t *testing.T) {
	b := newBench(t)
	b.repo.sign("1.1", digestOf("one"))
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	b.server.taken()
	b.watched(w, "1.1", "one", Options{})
	if taken := b.server.taken(); len(taken) > 0 {
		t.Errorf("what is known already was asked for: %v", taken)
	}
	b.repo.sign("2.0", digestOf("two"))
	b.watched(w, "2.0", "two", Options{})
}

// TestWatcherWithoutServer answers what is young enough, then tells the trouble;
// offline it goes on until something expires.
func TestWatcherWithoutServer(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	b.server.setIntercept(func(rw responseWriter, _ *request) bool {
		rw.WriteHeader(http.StatusBadGateway)
		return true
	})
	b.clock.Add(50 * time.Second)
	w.refreshAllDue()
	b.watched(w, "1.0", "one", Options{})
	b.clock.Add(10 * time.Second)
	err := b.unwatched(w, "1.0", "", Options{})
	if _, ok := errors.AsType[*ServerError](err); !ok {
		t.Errorf("%v", err)
	}
	b.server.taken()
	b.unwatched(w, "1.0", "", Options{})
	b.unwatched(w, "1.1", "", Options{})
	if taken := b.server.taken(); len(taken) > 0 {
		t.Errorf("trouble was not held: the server was asked for %v", taken)
	}
	if s := w.Stats(); s.Failing != 1 || s.Trouble == nil || !strings.HasPrefix(s.Trouble.Error(), appName+": ") {
		t.Errorf("%+v", s)
	}
	if d := b.watched(w, "1.0", "one", Options{Offline: true}); !d.Offline || d.Age != Duration(time.Minute) {
		t.Errorf("%+v", d)
	}
	b.clock.Add(23 * time.Hour)
	if d := b.watched(w, "1.0", "one", Options{Offline: true}); d.Age != Duration(23*time.Hour+time.Minute) {
		t.Errorf("age %v", d.Age)
	}
	b.unwatched(w, "1.0", "", Options{})
	b.clock.Add(time.Hour)
	b.unwatched(w, "1.0", tuf.RuleExpired, Options{Offline: true})
	b.server.setIntercept(nil)
	b.repo.stamp(b.repo.timestamp.Version + 1)
	b.watched(w, "1.0", "one", Options{})
	if s := w.Stats(); s.Troubles < 2 || s.Failing != 0 || s.Trouble != nil {
		t.Errorf("%+v", s)
	}
}

// TestWatcherServers tells of each server how its refreshes go. Names that it does not
// know, of which anybody may ask, are none of its troubles; names that were asked about
// while it was away are, for a while.
func TestWatcherServers(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	expect := func(what string, repositories, failing int) {
		t.Helper()
		all := w.Servers()
		var s ServerStats
		if len(all) > 0 {
			s = all[0]
		}
		if len(all) > 1 || s.Repositories != repositories || s.Failing != failing || (s.Trouble != nil) != (failing > 0) || repositories > 0 && len(s.Servers) != 1 {
			t.Errorf("%s: %+v", what, all)
		}
	}
	expect("nothing was asked", 0, 0)
	anchor := b.client().config.Anchors[0]
	anchor.Pattern = "**"
	ask := func(name string) {
		_, _ = w.Verify(t.Context(), tuf.Image{Repository: name, Tag: "1.0"}, Options{Anchor: &anchor})
	}
	b.watched(w, "1.0", "one", Options{})
	ask("registry.example.com/nobody/knows")
	expect("all is well", 1, 0)
	b.server.setIntercept(func(rw responseWriter, _ *request) bool {
		rw.WriteHeader(http.StatusBadGateway)
		return true
	})
	b.clock.Add(50 * time.Second)
	w.refreshAllDue()
	expect("the server is away", 1, 1)
	ask("registry.example.com/nobody/else")
	expect("and asked about another name", 2, 2)
	b.clock.Add(time.Minute)
	expect("which nobody asks about any more", 1, 1)
	b.server.setIntercept(nil)
	w.refreshAllDue()
	expect("it is back", 1, 0)
}

// TestWatcherRefusesWhatARefreshRefused shows a step back: what is in memory, young
// as it is, is not answered any more.
func TestWatcherRefusesWhatARefreshRefused(t *testing.T) {
	b := newBench(t)
	old := b.repo.served()
	b.repo.sign("1.1", digestOf("two"))
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	now := b.repo.served()
	b.repo.serve(old)
	b.clock.Add(50 * time.Second)
	w.refreshAllDue()
	b.unwatched(w, "1.0", tuf.RuleRollback, Options{})
	b.clock.Add(6 * time.Second)
	b.unwatched(w, "1.0", tuf.RuleRollback, Options{})
	b.repo.serve(now)
	b.clock.Add(5 * time.Second)
	b.watched(w, "1.0", "one", Options{})
	if s := w.Stats(); s.Refusals == 0 || s.Failing != 0 {
		t.Errorf("%+v", s)
	}
}

// TestWatcherOneSignersTrouble has one signer's file refused: other answers go on.
func TestWatcherOneSignersTrouble(t *testing.T) {
	b := newBench(t)
	alice, eve := newKey(t), newKey(t)
	b.mayAlice(alice)
	b.repo.signAs("alice", "a1", digestOf("one"), eve)
	w := b.watcher(WatchConfig{})
	b.unwatched(w, "a1", tuf.RuleThreshold, Options{})
	b.watched(w, "1.0", "one", Options{})
	b.server.taken()
	b.unwatched(w, "a1", tuf.RuleThreshold, Options{})
	b.watched(w, "1.0", "one", Options{})
	if taken := b.server.taken(); len(taken) > 0 {
		t.Errorf("the server was asked for %v", taken)
	}
}

// TestWatcherBounds asks about more than may be held.
func TestWatcherBounds(t *testing.T) {
	b := newBench(t)
	b.anchor.Pattern = "registry.example.com/**"
	var repos []*fakeRepo
	for i := range 6 {
		r := newRepo(t, fmt.Sprint("registry.example.com/many/r", i), b.clock)
		r.rootKeys = b.repo.rootKeys
		r.start().sign("1.0", digestOf("one"))
		repos = append(repos, r)
		b.server.repos[r.name] = r
	}
	ask := func(w *Watcher, r *fakeRepo, tag string) {
		t.Helper()
		w.Verify(t.Context(), tuf.Image{Repository: r.name, Tag: tag}, Options{})
	}
	names := func(w *Watcher) (names []string) {
		w.shrink(nil) // the flights' own may be underway yet
		for _, e := range w.all() {
			names = append(names, e.repository[len("registry.example.com/many/"):])
		}
		slices.Sort(names)
		return names
	}
	w := b.watcher(WatchConfig{MaxRepositories: 3})
	for _, i := range []int{0, 1, 2, 0, 3, 4} {
		ask(w, repos[i], "1.0")
	}
	if diff := cmp.Diff([]string{"r0", "r3", "r4"}, names(w)); diff != "" {
		t.Error(diff)
	}
	for i := range 10 { // what does not exist drives out nothing
		w.Verify(t.Context(), tuf.Image{Repository: fmt.Sprint("registry.example.com/nowhere/r", i), Tag: "1.0"}, Options{})
	}
	b.server.taken()
	ask(w, repos[4], "1.0")
	ask(w, repos[3], "1.0")
	if taken := b.server.taken(); len(taken) > 0 {
		t.Errorf("the server was asked for %v", taken)
	}
	w = b.watcher(WatchConfig{MaxRepositories: 3})
	for i := range 3 {
		ask(w, repos[i], "1.0")
	}
	size := w.Stats().Bytes / 3
	w = b.watcher(WatchConfig{MaxBytes: 2*size + size/2})
	for _, i := range []int{0, 1, 2, 3, 4, 5} {
		ask(w, repos[i], "1.0")
	}
	if diff := cmp.Diff([]string{"r4", "r5"}, names(w)); diff != "" {
		t.Error(diff)
	}
	w = b.watcher(WatchConfig{MaxAnswers: 4})
	ask(w, repos[0], "1.0")
	for i := range 20 {
		ask(w, repos[0], fmt.Sprint("none", i))
	}
	b.server.taken()
	ask(w, repos[0], "1.0") // refusals do not drive out what is trusted
	if s := w.Stats(); s.Answers != 4 || len(b.server.taken()) > 0 {
		t.Errorf("%+v", s)
	}
	b.clock.Add(time.Hour + time.Second)
	w.refreshAllDue()
	if s := w.Stats(); s.Repositories != 0 || s.Answers != 0 || s.Bytes != 0 || s.Dropped != 1 {
		t.Errorf("what nobody asks about is still watched: %+v", s)
	}
}

// TestWatcherKeepsAnchorsApart asks about one repository under two anchors.
func TestWatcherKeepsAnchorsApart(t *testing.T) {
	b := newBench(t)
	w := b.watcher(WatchConfig{})
	b.watched(w, "1.0", "one", Options{})
	strict := b.anchor
	strict.Require = []Voice{{Name: "alice", Keys: []string{newKey(t).Key().ID()}}}
	b.unwatched(w, "1.0", tuf.RuleVoice, Options{Anchor: &strict})
	b.watched(w, "1.0", "one", Options{})
	other := b.anchor
	other.RootKeys = []string{newKey(t).Key().ID()}
	b.unwatched(w, "1.0", tuf.RuleAnchor, Options{Anchor: &other})
	elsewhere := b.anchor
	elsewhere.Pattern = "elsewhere.example/*"
	b.unwatched(w, "1.0", tuf.RuleAnchor, Options{Anchor: &elsewhere})
	same := b.anchor
	same.RootKeys = slices.Clone(same.RootKeys)
	b.server.taken()
	b.watched(w, "1.0", "one", Options{Anchor: &same})
	if taken := b.server.taken(); len(taken) > 0 {
		t.Errorf("the same anchor, given anew, is another: %v", taken)
	}
}
