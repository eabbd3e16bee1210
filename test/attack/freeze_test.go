package attack_test

import (
	"testing"
	"time"

	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// Freeze: whoever keeps news away is found out when something expires, and each key
// in the attacker's hands only moves that to the next expiry.
func TestFreeze(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	p.delegate("ci", "ci-*", harness.NewKey(t)) // its file lives for 90 days
	p.edit("ci", set(t, app, "ci-1", "built"))
	warm := s.verifier(t, app, p.root)
	warm.trusts(app+":1.0", digest("one"))
	warm.trusts(app+":ci-1", digest("built"))
	far := time.Now().Add(3650 * day).UTC().Truncate(time.Second)
	stamp := func(f *attack.Forger) { f.Timestamp(func(md *tuf.Timestamp) { md.Signed.Expires = far }) }
	snapshot := func(f *attack.Forger) {
		f.Snapshot(func(md *tuf.Snapshot) { md.Signed.Expires = far })
		stamp(f)
	}
	all := append([]string{tuf.RoleRoot, tuf.RoleTargets}, online...)
	for _, c := range []struct {
		claim  string
		keys   []string
		forge  func(f *attack.Forger)
		tag    string
		holds  time.Duration // until here the frozen state passes
		ends   time.Duration // and from here on no more
		reason string
	}{
		{"without keys, until the timestamp expires", nil, func(*attack.Forger) {}, "1.0", 23 * time.Hour, 25 * time.Hour, "timestamp"},
		{"with the timestamp's key, until the snapshot expires", []string{tuf.RoleTimestamp}, stamp, "1.0", 6 * day, 8 * day, "snapshot"},
		{"with both online keys, until the targets expire", online, snapshot, "1.0", 179 * day, 181 * day, "targets"},
		{"with both online keys, until a signer's file expires", online, snapshot, "ci-1", 89 * day, 91 * day, "ci"},
		{"with the targets' key too, until root expires", all[1:], func(f *attack.Forger) {
			f.Role(tuf.RoleTargets, func(md *tuf.Targets) { md.Signed.Expires = far })
			snapshot(f)
		}, "1.0", 364 * day, 366 * day, "root"},
	} {
		t.Run(c.claim, func(t *testing.T) {
			f := s.forger(t, p, c.keys...)
			c.forge(f)
			s.serve(f)
			defer s.proxy.Set()
			word := map[string]string{"1.0": "one", "ci-1": "built"}[c.tag]
			m := warm.clone(t)
			m.ahead = c.holds
			m.trusts(app+":"+c.tag, digest(word))
			m.ahead = c.ends
			o, d := m.verify(app + ":" + c.tag)
			if o.exit != 3 || d.Rule != tuf.RuleExpired || d.Trusted {
				t.Errorf("exit status %d, %+v, expected a refusal by %q", o.exit, d, tuf.RuleExpired)
			}
			if want := app + ": " + c.reason + " version "; len(d.Reason) < len(want) || d.Reason[:len(want)] != want {
				t.Errorf("%q expired, expected %s", d.Reason, c.reason)
			}
			m.refuses(app+":"+c.tag, tuf.RuleExpired, "--offline")
			// Nor is somebody new fooled.
			fresh := s.verifier(t, app, p.root)
			fresh.ahead = c.ends
			if o, d := fresh.verify(app + ":" + c.tag); o.exit != 3 || d.Rule != tuf.RuleExpired {
				t.Errorf("without state: exit status %d, %+v", o.exit, d)
			}
		})
	}
}

// "Nothing has changed" is no proof of freshness.
func TestFreezeByNotModified(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	m := s.verifier(t, app, p.root)
	m.ahead = time.Minute
	s.proxy.Set(attack.NotModified(tuf.RoleTimestamp))
	m.trusts(app+":1.0", digest("one"))
	p.sign("1.0", "two")
	m.trusts(app+":1.0", digest("one")) // a freeze, as long as the timestamp lives
	m.ahead = 25 * time.Hour
	m.refuses(app+":1.0", tuf.RuleExpired)
	// A 304 to somebody who has nothing is no answer.
	s.proxy.Set(attack.Status(tuf.RoleTimestamp, 304))
	s.verifier(t, app, p.root).cannotTell([]string{tuf.RoleRoot}, app+":1.0")
}

// A root that is kept away cannot be kept away for longer than the rest lives.
func TestFreezeOfRoot(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	m := s.verifier(t, app, p.root)
	m.trusts(app+":1.0", digest("one"))
	frozen := s.record(app)
	old := p.root
	p.root = newKeys(t, 1)
	p.rotate(func(root *tuf.Root) { handOver(t, root, p.root) }, old...)
	s.proxy.Set(attack.Replay(frozen))
	m.trusts(app+":1.0", digest("one"))
	m.ahead = 25 * time.Hour
	m.refuses(app+":1.0", tuf.RuleExpired)
	s.proxy.Set(attack.Hide(tuf.RoleRoot))
	m.refuses(app+":1.0", tuf.RuleExpired)
}

// A verdict is judged by the time at its end: what expires while a slow server takes
// its time is expired.
func TestExpiryWhileAsking(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	f := s.forger(t, p, online...)
	expires := time.Now().Add(4 * time.Second).UTC().Truncate(time.Second)
	f.Timestamp(func(md *tuf.Timestamp) { md.Signed.Expires = expires })
	s.proxy.Set(attack.Replay(f.Clone()), attack.Hold(tuf.RoleTargets, expires.Add(time.Second)))
	o, d := s.verifier(t, app, p.root).verify(app + ":1.0")
	if o.exit != 3 || d.Rule != tuf.RuleExpired || d.Trusted || d.Digest != "" {
		t.Errorf("exit status %d, %+v, expected a refusal by %q", o.exit, d, tuf.RuleExpired)
	}
}

// A clock that is set back would make expired metadata pass for fresh.
func TestClockSetBack(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	frozen := s.record(app)
	m := s.verifier(t, app, p.root)
	m.ahead = 20 * time.Hour
	m.trusts(app+":1.0", digest("one"))
	s.proxy.Set(attack.Replay(frozen))
	m.ahead = 26 * time.Hour
	m.refuses(app+":1.0", tuf.RuleExpired)
	m.ahead = 25*time.Hour + 57*time.Minute // clocks are set a little back all the time
	m.refuses(app+":1.0", tuf.RuleExpired)
	for _, back := range []time.Duration{time.Hour, 20 * time.Hour, -400 * day} {
		m.ahead = back
		m.refuses(app+":1.0", tuf.RuleClock)
		m.refuses(app+":1.0", tuf.RuleClock, "--offline")
	}
}
