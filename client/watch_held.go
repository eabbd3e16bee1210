package client

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// watched is one repository under one anchor.
type watched struct {
	key        watchKey
	repository string
	anchor     *Anchor // a copy
	upstream   *upstream

	held    atomic.Pointer[held]
	failure atomic.Pointer[failure] // of the last flight as a whole; nil: it came through
	turn    atomic.Int64            // of the last question
	askedAt atomic.Int64            // Unix nanoseconds
	due     atomic.Int64            // Unix nanoseconds, of the next refresh

	mu      sync.Mutex
	flights [2]flights // online, offline
	bytes   int64      // counted in Watcher.bytes
	boarded bool       // somebody has had it found out
	gone    bool       // not watched any more: what is held counts no longer
}

// flights are the flight underway and the one that follows it, for those who came
// when the first had nothing more to ask.
type flights struct{ now, next *flight }

// held is what one confirmed state of a repository answers. It is never changed, but
// replaced; so it is read without a lock.
type held struct {
	checked    time.Time // when the server was asked that confirmed it, by the clock; zero: not known
	state      string    // fingerprint of root and timestamp
	generation int64     // of the state folder when all of it was saved
	clock      clockMark
	marked     time.Time // what the folder says of checked
	expires    time.Time // the earliest expiry of root, timestamp and snapshot
	confirm    confirmation
	answers    map[tuf.Image]*reply
}

// confirmation is what the server has to say for nothing to be new.
type confirmation struct {
	server    string // base address
	root      int64  // version of the newest root
	timestamp string // SHA-256
	etag      string
}

// fresh tells whether what is held may be answered without asking: it is younger
// than most, and the clock did not go back.
func (h *held) fresh(now time.Time, most time.Duration) bool {
	return h != nil && !h.checked.IsZero() && within(h.checked, now, most) && h.clock.at.Sub(now) <= clockTolerance
}

// A failure is why a flight came back with nothing.
type failure struct {
	err error
	at  time.Time
}

// A reply is what one question was answered with.
type reply struct {
	given   *Decision     // as it was verified; it is copied before anybody gets it
	err     error         // the refusal, or trouble
	at      time.Time     // when it was answered
	first   expiry        // of all that it stands on, what expires first
	checked time.Time     // when a server confirmed it then; later ones are in held
	turn    *atomic.Int64 // of the last question for it
}

// inDate tells whether nothing that the answer stands on has expired: root,
// timestamp, snapshot, targets, the signers that were read, and the attestations of
// keys where those are demanded.
func (a *reply) inDate(now time.Time) bool { return a.first.Expires.After(now) }

// roleAttestation stands for what vouches for keys among the expiries of files.
const roleAttestation = "attestation"

// outlived refuses keys whose attestations held until a time.
func outlived(repository string, until, now time.Time) error {
	return &tuf.Refusal{Repository: repository, Role: tuf.RoleRoot, Rule: tuf.RuleAttestationExpired, Clause: "Signet profile: attestations",
		Detail: fmt.Sprintf("what vouches for a key held until %s, and now it is %s", until.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
}

// An expiry is when a role's file expires.
type expiry struct {
	Role    string
	Version int64
	Expires time.Time
}

func (e expiry) expired(repository string, now time.Time) error {
	if e.Role == roleAttestation {
		return outlived(repository, e.Expires, now)
	}
	return &tuf.ExpiredError{Repository: repository, Role: e.Role, Version: e.Version, Expired: e.Expires, Now: now}
}

// floor is what expires first of root, timestamp, snapshot, and what vouches for their
// keys.
func (x *Update) floor() expiry {
	root := x.trusted.Root().Signed
	first := expiry{tuf.RoleRoot, root.Version, root.Expires}
	if ts := x.trusted.Timestamp(); ts != nil {
		first = first.or(tuf.RoleTimestamp, ts.Signed.Version, ts.Signed.Expires)
	}
	if s := x.trusted.Snapshot(); s != nil {
		first = first.or(tuf.RoleSnapshot, s.Signed.Version, s.Signed.Expires)
	}
	if !x.allowed.IsZero() {
		first = first.or(roleAttestation, 0, x.allowed)
	}
	return first
}

// firstToExpire is what expires first of all that was read for the last answer.
func (x *Update) firstToExpire() expiry {
	first := x.floor()
	for _, role := range x.trusted.Read() {
		signed := x.trusted.Role(role).Signed
		first = first.or(role, signed.Version, signed.Expires)
	}
	return first
}

func (e expiry) or(role string, version int64, expires time.Time) expiry {
	if expires.Before(e.Expires) {
		return expiry{role, version, expires}
	}
	return e
}

// decision is the answer for one who asked.
func (a *reply) decision(image tuf.Image, options Options, checked, now time.Time) (*Decision, error) {
	if a.given == nil {
		return refused(image, options, a.err)
	}
	d := a.given.clone()
	d.Offline = options.Offline
	d.confirmed(checked, now)
	return d, a.err
}

// clone copies a decision: whoever gets it may change it.
func (d *Decision) clone() *Decision {
	c := *d
	c.Signers, c.Voices, c.Tags, c.Platforms = slices.Clone(d.Signers), slices.Clone(d.Voices), slices.Clone(d.Tags), slices.Clone(d.Platforms)
	c.Versions, c.Annotations = maps.Clone(d.Versions), maps.Clone(d.Annotations)
	c.Expires, c.Signed, c.Checked = copied(d.Expires), copied(d.Signed), copied(d.Checked)
	return &c
}

func copied(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	c := *at
	return &c
}

// What things in memory take, roughly, besides their text, a little above what
// BenchmarkWatcherMemory measures.
const (
	entryBytes  = 1300
	answerBytes = 700
)

// size is roughly what an answer takes in memory.
func (a *reply) size(image tuf.Image) int64 {
	n := answerBytes + 3*len(image.Repository) + 2*len(image.Tag) + 2*len(image.Digest)
	if d := a.given; d != nil {
		n += len(d.Digest) + len(d.Reference) + len(d.MediaType) + 2*len(d.Reason)
		for _, list := range [][]string{d.Signers, d.Platforms} {
			n += 16*len(list) + len(strings.Join(list, ""))
		}
		for _, voice := range d.Voices {
			n += 64 + len(voice.Name) + len(voice.Key) + len(voice.Tag)
		}
		for _, tag := range d.Tags {
			n += 64 + len(tag.Tag) + len(tag.Signer)
		}
		for name := range d.Versions {
			n += 48 + len(name)
		}
		for key, value := range d.Annotations {
			n += 64 + len(key) + len(value)
		}
	}
	return int64(n)
}

// put publishes what is held from now on, and counts it. e.mu is held.
func (w *Watcher) put(e *watched, h *held) {
	bytes := e.fixed()
	for image, a := range h.answers {
		bytes += a.size(image)
	}
	e.held.Store(h)
	w.account(e, bytes)
}

// account counts what e holds. e.mu is held.
func (w *Watcher) account(e *watched, bytes int64) {
	if e.gone {
		bytes = 0
	}
	w.bytes.Add(bytes - e.bytes)
	e.bytes = bytes
}

// fixed is what an entry takes without its answers.
func (e *watched) fixed() int64 { return int64(entryBytes + len(e.repository) + e.anchor.size()) }

// size is the length of an anchor's text.
func (a *Anchor) size() int {
	n := len(a.Pattern) + len(a.RootSHA256)
	for _, list := range [][]string{a.RootKeys, a.Servers} {
		n += 16*len(list) + len(strings.Join(list, ""))
	}
	for _, voice := range a.Require {
		n += 40 + len(voice.Name) + len(strings.Join(voice.Keys, ""))
	}
	return n
}

// withAnswers returns answers and those of more, at most most of them: refusals go
// first, then what was asked least recently.
func withAnswers(answers, more map[tuf.Image]*reply, most int) map[tuf.Image]*reply {
	all := make(map[tuf.Image]*reply, len(answers)+len(more))
	maps.Copy(all, answers)
	maps.Copy(all, more)
	if len(all) <= most {
		return all
	}
	order := recent(all)
	for _, image := range order[most:] {
		delete(all, image)
	}
	return all
}

// recent lists the questions of answers: trusted ones first, then by how recently
// they were asked.
func recent(answers map[tuf.Image]*reply) []tuf.Image {
	return slices.SortedFunc(maps.Keys(answers), func(x, y tuf.Image) int {
		a, b := answers[x], answers[y]
		if (a.err == nil) != (b.err == nil) {
			if a.err == nil {
				return -1
			}
			return 1
		}
		return int(b.turn.Load() - a.turn.Load())
	})
}
