package property_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	stdtesting "testing"
	"time"

	"pgregory.net/rapid"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// Random histories. See doc.go for what is held against what.
func TestHistories(t *stdtesting.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &play{t: t, r: t, w: newWorld(t, app), o: newWorld(t, other)}
		p.o.set(tuf.RoleTargets, "1.0", "theirs")
		p.verifiers = []*verifier{newVerifier(t, p.w)}
		t.Repeat(map[string]func(*rapid.T){
			"publish":           p.publish,
			"withdraw":          func(*rapid.T) { p.w.withdraw(p.tag()) },
			"signer publishes":  p.signerPublishes,
			"signer comes":      p.signerComes,
			"signer goes":       p.signerGoes,
			"signer's new keys": p.signerRekeys,
			"root's new keys":   func(*rapid.T) { p.w.rotate(tuf.RoleRoot, p.newKeys()) },
			"targets' new keys": func(*rapid.T) { p.w.rotate(tuf.RoleTargets, p.newKeys()) },
			"online key comes":  p.onlineKeyComes,
			"online key goes":   p.onlineKeyGoes,
			"new online keys":   p.newOnlineKeys,
			"renew":             func(*rapid.T) { p.w.renew() },
			"time passes":       p.timePasses,
			"days pass":         func(*rapid.T) { p.w.now = p.w.now.Add(time.Duration(p.number(1, 60)) * day) },
			"a newcomer":        func(*rapid.T) { p.add(newVerifier(p.t, p.w)) },
			"a fork":            func(*rapid.T) { p.add(p.verifier().fork(p.t)) },
			"a damaged state":   p.damage,
			"ask":               p.ask,
			"ask once more":     p.ask,
			"clock set back":    p.clockBack,
			"ask a liar":        p.askLiar,
			"ask another liar":  p.askLiar,
			"ask a thief":       p.askThief,
		})
		for _, v := range p.verifiers { // whatever came before, the end is honest
			p.w.refresh()
			p.honest(v, p.tag(), p.w.now)
		}
	})
}

// A play is one history.
type play struct {
	t         testing
	r         *rapid.T // draws
	w         *world
	o         *world // another repository, of the same people
	verifiers []*verifier
	words     int
	stolen    []loot // every online key there ever was
	unusable  bool   // the newest root lists a key that nobody here can use
}

// loot are online keys as a thief got them.
type loot struct {
	snapshot, timestamp tuf.Signer
}

func (p *play) number(from, to int) int { return rapid.IntRange(from, to).Draw(p.r, "number") }
func (p *play) tag() string             { return rapid.SampledFrom(tags).Draw(p.r, "tag") }
func (p *play) verifier() *verifier {
	return p.verifiers[rapid.IntRange(0, len(p.verifiers)-1).Draw(p.r, "verifier")]
}

// word is a new image, or sometimes an old one.
func (p *play) word() string {
	if p.words == 0 || rapid.IntRange(0, 3).Draw(p.r, "new") > 0 {
		p.words++
		return fmt.Sprint("word ", p.words)
	}
	return fmt.Sprint("word ", p.number(1, p.words))
}

func (p *play) newKeys() keys {
	n := p.number(1, 3)
	return p.w.newKeys(n, p.number(1, n))
}

func (p *play) add(v *verifier) {
	if len(p.verifiers) > 5 {
		p.verifiers = p.verifiers[1:]
	}
	p.verifiers = append(p.verifiers, v)
}

func (p *play) publish(*rapid.T) { p.w.set(tuf.RoleTargets, p.tag(), p.word()) }

func (p *play) signerName() string {
	if len(p.w.signers) == 0 {
		p.r.Skip()
	}
	return p.w.signers[rapid.IntRange(0, len(p.w.signers)-1).Draw(p.r, "signer")].name
}

func (p *play) signerPublishes(*rapid.T) {
	s := p.w.signer(p.signerName())
	fits := slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return !s.fits(tag) })
	if len(fits) == 0 {
		p.r.Skip()
	}
	p.w.set(s.name, rapid.SampledFrom(fits).Draw(p.r, "tag"), p.word())
}

func (p *play) signerComes(*rapid.T) {
	name := rapid.SampledFrom([]string{"alice", "bob", "carol"}).Draw(p.r, "name")
	if p.w.signer(name) != nil {
		p.r.Skip()
	}
	p.w.addSigner(signer{name: name, keys: p.newKeys(), terminating: rapid.Bool().Draw(p.r, "terminating"),
		pattern: rapid.SampledFrom([]string{"a-*", "*-1", "1.0", "*", "b-*", "a*1"}).Draw(p.r, "pattern")})
}

func (p *play) signerGoes(*rapid.T)   { p.w.removeSigner(p.signerName()) }
func (p *play) signerRekeys(*rapid.T) { p.w.rekeySigner(p.signerName(), p.newKeys()) }

func (p *play) onlineRole() (string, keys) {
	if rapid.Bool().Draw(p.r, "snapshot") {
		return tuf.RoleSnapshot, p.w.snapshot
	}
	return tuf.RoleTimestamp, p.w.timestamp
}

// onlineKeyComes adds a key in front, which signs from then on.
func (p *play) onlineKeyComes(*rapid.T) {
	p.steal()
	role, k := p.onlineRole()
	if len(k.signers) > 2 {
		p.r.Skip()
	}
	p.w.rotate(role, keys{append(p.w.newKeys(1, 1).signers, k.signers...), 1})
}

// onlineKeyGoes takes the last key away.
func (p *play) onlineKeyGoes(*rapid.T) {
	p.steal()
	role, k := p.onlineRole()
	if len(k.signers) < 2 {
		p.r.Skip()
	}
	p.w.rotate(role, keys{slices.Clone(k.signers[:len(k.signers)-1]), 1})
}

func (p *play) newOnlineKeys(*rapid.T) {
	p.steal()
	p.w.rotate(tuf.RoleSnapshot, p.w.newKeys(1, 1))
	p.w.rotate(tuf.RoleTimestamp, p.w.newKeys(1, 1))
}

// steal notes the present online keys for a thief.
func (p *play) steal() {
	for _, s := range p.w.snapshot.signers {
		for _, t := range p.w.timestamp.signers {
			if !slices.ContainsFunc(p.stolen, func(l loot) bool {
				return l.snapshot.Key().Equal(s.Key()) && l.timestamp.Key().Equal(t.Key())
			}) {
				p.stolen = append(p.stolen, loot{s, t})
			}
		}
	}
}

func (p *play) timePasses(*rapid.T) {
	p.w.now = p.w.now.Add(time.Duration(p.number(1, 30*60)) * time.Minute)
}

// damage spoils a file of a verifier's cache.
func (p *play) damage(*rapid.T) {
	v := p.verifier()
	state := v.state()
	if len(state) == 0 {
		p.r.Skip()
	}
	role := rapid.SampledFrom(slices.Sorted(maps.Keys(state))).Draw(p.r, "role")
	data := bytes.Clone(state[role])
	switch p.number(0, 3) {
	case 0:
		v.remove(role)
		return
	case 1:
		data = data[:p.number(0, len(data))]
	case 2:
		if len(data) == 0 {
			p.r.Skip()
		}
		data[p.number(0, len(data)-1)] ^= 4
	case 3:
		data = []byte("null")
	}
	v.write(role, data)
}

// ask asks the honest server.
func (p *play) ask(*rapid.T) {
	p.w.refresh()
	p.honest(p.verifier(), p.tag(), p.w.now)
}

// clockBack asks the honest server on a machine whose clock was set back.
func (p *play) clockBack(*rapid.T) {
	p.w.refresh()
	v := p.verifier()
	p.honest(v.fork(p.t), p.tag(), p.w.now.Add(-time.Duration(p.number(0, 3000))*time.Minute))
}

// honest asks the honest server, and demands the newest state or the reason that the
// model knows.
func (p *play) honest(v *verifier, tag string, now time.Time) {
	p.t.Helper()
	w := p.w
	before, seen := v.state(), v.seen()
	a := p.question(v, w.today(), now, tag, nil)
	if seen.Sub(now) > 5*time.Minute {
		p.expect(a, tuf.RuleClock)
		return
	}
	if now.Before(w.now) {
		return // the honest files may have been made after that time: what follows is not about it
	}
	newest := w.history[len(w.history)-1]
	if !w.md.Signed.Expires.After(now) {
		p.expect(a, tuf.RuleExpired)
		return
	}
	if p.poisoned(before) && !p.cured(before) {
		return // a thief's versions stay until root takes the keys away: TUF's own limit
	}
	digest, read := w.answer(tag)
	for _, role := range read {
		if !w.roles[role].Signed.Expires.After(now) {
			p.expect(a, tuf.RuleExpired)
			return
		}
	}
	if digest == "" {
		p.expect(a, tuf.RuleAbsent)
		return
	}
	if !a.ours.ok || a.ours.digest != digest {
		p.t.Fatalf("%s is %s, but the answer is %+v: %s", tag, digest, a.ours, a.decision.Reason)
	}
	want := map[string]int64{tuf.RoleRoot: newest.root, tuf.RoleTimestamp: w.state.Timestamp.Version, tuf.RoleSnapshot: newest.snapshot}
	for _, role := range read {
		want[role] = newest.versions[role]
	}
	if !maps.Equal(want, a.ours.versions) {
		p.t.Fatalf("%s was answered on %v, and the newest is %v", tag, a.ours.versions, want)
	}
}

func (p *play) expect(a *answer, rule tuf.Rule) {
	p.t.Helper()
	if a.ours.ok || tuf.RuleOf(a.ours.err) != rule || a.decision.Rule != rule {
		p.t.Fatalf("expected a refusal by %q, and the answer is %+v: %s", rule, a.ours, a.decision.Reason)
	}
}

// poisoned tells whether a state holds what no honest signer has made.
func (p *play) poisoned(state map[string][]byte) bool {
	for _, role := range []string{tuf.RoleTimestamp, tuf.RoleSnapshot} {
		data := state[role]
		if data == nil {
			continue
		}
		honest := slices.ContainsFunc(p.w.history, func(m *moment) bool {
			return payload(data) == payload(m.timestamp) || payload(data) == payload(p.w.files[tuf.FileName(tuf.RoleSnapshot, m.snapshot)])
		})
		if !honest {
			return true
		}
	}
	return false
}

// cured tells whether a root that the machine has not seen yet takes an online key
// away, so that it forgets what the thief made (§5.3.11).
func (p *play) cured(state map[string][]byte) bool {
	root := state[tuf.RoleRoot]
	if root == nil {
		return false
	}
	md, err := tuf.ReadRoot(root)
	return err == nil && md.Signed.Version < p.w.removal
}

// An answer is all that is known of one question.
type answer struct {
	before, after map[string][]byte
	now           time.Time
	tag           string
	decision      *client.Decision
	ours, theirs  outcome
	faults        []string
}

// question asks, and holds the answer against what is true of every answer.
func (p *play) question(v *verifier, server view, now time.Time, tag string, faults []string) *answer {
	p.t.Helper()
	a := &answer{before: v.state(), now: now, tag: tag, faults: faults}
	a.decision, a.ours = v.ask(server, now, tag)
	a.after = v.state()
	if !a.ours.ok && (a.decision.Trusted || a.decision.Reason == "" || a.decision.Digest != "") {
		p.t.Fatalf("a refusal that says nothing, or too much: %+v", a.decision)
	}
	p.neverBack(a)
	if a.ours.ok {
		p.sound(a)
	}
	local := maps.Clone(a.before)
	if local[tuf.RoleRoot] == nil {
		local[tuf.RoleRoot] = p.w.files["1.root.json"] // as it was shipped
	}
	a.theirs = reference(local, server, now, tag)
	p.compare(a)
	return a
}

// neverBack demands that no version steps back, in memory or in an answer, unless a
// root that took online keys away came in between (§5.3.11).
func (p *play) neverBack(a *answer) {
	p.t.Helper()
	before, after := p.w.remembered(a.before), p.w.remembered(a.after)
	if after[tuf.RoleRoot] < before[tuf.RoleRoot] {
		p.t.Fatalf("root went from %d to %d", before[tuf.RoleRoot], after[tuf.RoleRoot])
	}
	if p.removedBetween(before[tuf.RoleRoot], after[tuf.RoleRoot]) {
		return
	}
	for role, version := range before {
		if role != tuf.RoleRoot && after[role] < version && (a.after[tuf.RoleSnapshot] != nil || role == tuf.RoleTimestamp) {
			p.t.Fatalf("%s went from %d to %d", role, version, after[role])
		}
		if v, ok := a.ours.versions[role]; a.ours.ok && ok && v < version {
			p.t.Fatalf("an answer stands on %s %d, and %d was seen", role, v, version)
		}
	}
}

// removedBetween tells whether a root in (from, to] lacks an online key that the one
// before it had.
func (p *play) removedBetween(from, to int64) bool {
	for version := max(from, 1) + 1; version <= to; version++ {
		old, new := must(tuf.ReadRoot(p.w.files[tuf.FileName(tuf.RoleRoot, version-1)])), must(tuf.ReadRoot(p.w.files[tuf.FileName(tuf.RoleRoot, version)]))
		for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
			for _, id := range old.Signed.Roles[role].KeyIDs {
				if !slices.Contains(new.Signed.Roles[role].KeyIDs, id) {
					return true
				}
			}
		}
	}
	return false
}

// sound demands that a yes is true: the digest stands under the tag in files that were
// really published, which have not expired; and where no thief was at work, all of
// them were current at one time.
func (p *play) sound(a *answer) {
	p.t.Helper()
	w, role := p.w, a.decision.Signers[0]
	data := w.files[tuf.FileName(role, a.ours.versions[role])]
	if data == nil {
		p.t.Fatalf("an answer stands on %s %d, which was never published", role, a.ours.versions[role])
	}
	md := must(tuf.ReadTargets(data))
	file := md.Signed.Targets[w.name+":"+a.tag]
	if file == nil || "sha256:"+file.Hashes["sha256"].String() != a.ours.digest {
		p.t.Fatalf("%s %d does not say that %s is %s", role, md.Signed.Version, a.tag, a.ours.digest)
	}
	if !md.Signed.Expires.After(a.now) {
		p.t.Fatalf("an answer stands on %s %d, which expired at %s", role, md.Signed.Version, md.Signed.Expires)
	}
	if p.poisoned(a.after) {
		return
	}
	now := slices.IndexFunc(w.history, func(m *moment) bool { return payload(m.timestamp) == payload(a.after[tuf.RoleTimestamp]) })
	if now < 0 {
		p.t.Fatalf("an answer without a timestamp that was published")
	}
	m := w.history[now]
	if m.truth[a.tag] != a.ours.digest || !w.timestampOf(m.timestamp).Signed.Expires.After(a.now) {
		p.t.Fatalf("%s was %q when the timestamp was made, and the answer is %+v", a.tag, m.truth[a.tag], a.ours)
	}
	then := slices.IndexFunc(w.history, func(m *moment) bool { return payload(m.timestamp) == payload(a.before[tuf.RoleTimestamp]) })
	if now < then {
		p.t.Fatalf("an answer of the moment %d, after one of the moment %d", now, then)
	}
}

// askThief asks a server with online keys in its hands: the present ones or former
// ones. It lists whichever versions it likes, by whichever version of its own.
func (p *play) askThief(*rapid.T) {
	p.steal()
	w := p.w
	keys := p.stolen[rapid.IntRange(0, len(p.stolen)-1).Draw(p.r, "loot")]
	ahead := func(of tuf.File) int64 {
		return of.Version + rapid.SampledFrom([]int64{0, 1, 2, 1000, math.MaxInt64 - of.Version}).Draw(p.r, "ahead")
	}
	var files []tuf.File
	for _, role := range slices.Sorted(maps.Keys(w.state.Roles)) {
		version := int64(p.number(1, int(w.state.Roles[role].Version)))
		if data := w.files[tuf.FileName(role, version)]; data != nil {
			files = append(files, tuf.File{Role: role, Version: version, Bytes: data})
		}
	}
	listed := map[string]tuf.File{}
	for _, file := range files {
		listed[file.Role] = file
	}
	forged := p.thief(keys, ahead(w.state.Snapshot), ahead(w.state.Timestamp), listed)
	shown := int64(p.number(1, int(w.md.Signed.Version)))
	p.question(p.verifier(), func(file string) ([]byte, error) {
		if role, version, err := tuf.ParseFileName(file); err == nil && role == tuf.RoleRoot && version > shown {
			return nil, fmt.Errorf("hidden: %w", tuf.ErrNotFound)
		}
		return forged(file)
	}, w.now, p.tag(), []string{"thief"})
}

// thief is a server with these online keys in hand, which lists these files by versions
// of its own.
func (p *play) thief(keys loot, snapshotVersion, timestampVersion int64, listed map[string]tuf.File) view {
	w := p.w
	snapshot := tuf.NewSnapshot(snapshotVersion, w.now.Add(7*day), slices.Collect(maps.Values(listed)))
	s := tuf.File{Role: tuf.RoleSnapshot, Version: snapshotVersion, Bytes: encode(snapshot, []tuf.Signer{keys.snapshot})}
	timestamp := encode(tuf.NewTimestamp(timestampVersion, w.now.Add(day), s), []tuf.Signer{keys.timestamp})
	w.made[payload(s.Bytes)], w.made[payload(timestamp)] = true, true
	return with(w.at(&moment{root: w.md.Signed.Version, timestamp: timestamp}), map[string][]byte{s.Name(): s.Bytes})
}
