package property_test

import (
	"errors"

	"github.com/signet-trust/signet/tuf"
)

// A difference is one between our verdict and go-tuf's, on the same bytes, at the same
// time, with the same memory. There is no other.
type difference struct {
	name string
	why  string
	is   func(p *play, a *answer) bool
}

var differences = []difference{
	{
		name: "clock",
		why: "A clock that is more than five minutes behind the latest time that was seen is refused (§5.1 asks for a " +
			"fixed time, and leaves where it comes from open). go-tuf remembers no time.",
		is: func(_ *play, a *answer) bool { return tuf.RuleOf(a.ours.err) == tuf.RuleClock && a.theirs.ok },
	},
	{
		name: "first root",
		why: "A newcomer who pins keys asks the server for the first root, and is refused where that is not signed by them. " +
			"go-tuf is given the root file itself.",
		is: func(_ *play, a *answer) bool {
			return a.theirs.ok && a.before[tuf.RoleRoot] == nil && a.after[tuf.RoleRoot] == nil
		},
	},
	{
		name: "the very second",
		why: "A file is expired at the second that it names: \"the expiration timestamp … MUST be higher than the fixed " +
			"update start time\" (§5.3.10, §5.4.4). go-tuf lets it pass for that one second.",
		is: func(_ *play, a *answer) bool {
			expired, ok := errors.AsType[*tuf.ExpiredError](a.ours.err)
			return ok && a.theirs.ok && expired.Expired.Equal(a.now)
		},
	},
	{
		name: "damaged root",
		why: "A root.json that does not verify any more is replaced by the newest one of .roots that does. go-tuf's " +
			"updater is given its root, and cannot start from a damaged one.",
		is: func(_ *play, a *answer) bool { return !a.theirs.ok && !rootVerifies(a.before[tuf.RoleRoot]) },
	},
	{
		name: "damaged cache",
		why: "A cached timestamp or snapshot that cannot be read is fetched again. go-tuf's updater ends at it, for " +
			"ever: what its parser says of it is not of the errors that it passes over.",
		is: func(_ *play, a *answer) bool {
			_, t := tuf.ReadTimestamp(a.before[tuf.RoleTimestamp])
			_, s := tuf.ReadSnapshot(a.before[tuf.RoleSnapshot])
			return !a.theirs.ok && (a.before[tuf.RoleTimestamp] != nil && t != nil || a.before[tuf.RoleSnapshot] != nil && s != nil)
		},
	},
	{
		name: "a cached snapshot that is not the one meant",
		why: "A cached snapshot is used as it is only where the timestamp's hash names it; another of the same version is " +
			"fetched, and compared with the cached one. go-tuf's updater takes what is cached if the version fits: it " +
			"answers from the state of before.",
		is: func(p *play, a *answer) bool {
			_, ours := a.ours.versions[tuf.RoleSnapshot]
			return (a.theirs.ok || ours) && p.poisonedSince(a)
		},
	},
	{
		name: "a key that cannot be used",
		why: "A role that lists a key of a kind that is not known here is met by its other keys (§4.2: \"clients MUST " +
			"ignore\" what they do not know). go-tuf fails the whole role.",
		is: func(p *play, a *answer) bool { return a.ours.ok && !a.theirs.ok && p.unusable },
	},
	{
		name: "shape",
		why: "null, members that stand twice and other letter cases are refused ahead of the parse: two readers could " +
			"see two documents in one. go-tuf's reader passes over them.",
		is: func(_ *play, a *answer) bool { return tuf.RuleOf(a.ours.err) == tuf.RuleShape && a.theirs.ok },
	},
	{
		name: "one of several online keys was taken away",
		why: "When a root takes any timestamp or snapshot key away, what was cached of both roles is forgotten " +
			"(§5.3.11: \"if timestamp and/or snapshot keys have been rotated\"). go-tuf keeps what still verifies by a key " +
			"that stayed, and so a fast-forward that was made with that key.",
		is: func(p *play, a *answer) bool {
			return a.ours.ok && !a.theirs.ok && p.removedBetween(p.w.remembered(a.before)[tuf.RoleRoot], a.ours.versions[tuf.RoleRoot])
		},
	},
}

func rootVerifies(data []byte) bool {
	root, err := tuf.ReadRoot(data)
	return data == nil || err == nil && tuf.VerifyRoot(root, root) == nil
}

// agree tells whether both verifiers say the same, by the same files.
func (a *answer) agree() bool {
	same := a.ours.ok == a.theirs.ok
	if a.ours.ok && a.theirs.ok {
		same = a.ours.digest == a.theirs.digest
		for role, version := range a.ours.versions {
			same = same && a.theirs.versions[role] == version
		}
	}
	return same
}

// poisonedSince tells whether the snapshot that was remembered is of the version that
// the new timestamp names, and not its bytes.
func (p *play) poisonedSince(a *answer) bool {
	now, err := tuf.ReadTimestamp(a.after[tuf.RoleTimestamp])
	if err != nil || a.before[tuf.RoleSnapshot] == nil {
		return false
	}
	named := now.Signed.Meta["snapshot.json"]
	old, err := tuf.ReadSnapshot(a.before[tuf.RoleSnapshot])
	return err == nil && old.Signed.Version == named.Version && named.VerifyLengthHashes(a.before[tuf.RoleSnapshot]) != nil
}

// compare holds our verdict against go-tuf's.
func (p *play) compare(a *answer) {
	p.t.Helper()
	if a.agree() {
		return
	}
	for _, d := range differences {
		if d.is(p, a) {
			return
		}
	}
	p.t.Fatalf("%s at %s after %v, with %v remembered:\nour answer  %+v, %v\ngo-tuf's    %+v, %v",
		a.tag, a.now, a.faults, p.w.remembered(a.before), a.ours, a.ours.err, a.theirs, a.theirs.err)
}
