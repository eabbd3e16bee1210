package faults

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// An oracle knows the truth: which digest was signed under which tag from when to
// when, and until when signed metadata of that time could be taken for fresh.
type oracle struct {
	mu    sync.Mutex
	spans map[string][]*span // by "repository:tag", oldest first
	// fresh is, by repository, the latest expiry that any timestamp has had so far.
	fresh map[string]time.Time
}

// A span is the time for which a digest stood under a tag: as what the tag means, or
// as one from before that was not revoked.
type span struct {
	digest  string
	from    time.Time // when its publication was begun
	moved   time.Time // when the tag was made to mean another; zero: not yet
	revoked time.Time // when it was withdrawn; zero: not yet
	// The latest expiry of the timestamps that were served before it was moved or
	// revoked: whoever may live on what was verified last can do so until then.
	movedFresh, revokedFresh time.Time
}

func newOracle() *oracle {
	return &oracle{spans: map[string][]*span{}, fresh: map[string]time.Time{}}
}

// served notes a timestamp that the server has from now on.
func (o *oracle) served(repository string, timestamp []byte) error {
	var file struct {
		Signed struct {
			Expires time.Time `json:"expires"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(timestamp, &file); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if file.Signed.Expires.After(o.fresh[repository]) {
		o.fresh[repository] = file.Signed.Expires
	}
	return nil
}

// signing notes that a digest is about to be signed under a tag.
func (o *oracle) signing(repository, tag, digest string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := repository + ":" + tag
	o.spans[at] = append(o.spans[at], &span{digest: digest, from: now})
}

// signed notes that this was done, so that what the tag meant before is from before.
func (o *oracle) signed(repository, tag, digest string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spans[repository+":"+tag] {
		if s.digest != digest && s.moved.IsZero() {
			s.moved, s.movedFresh = now, o.fresh[repository]
		}
	}
}

// revoked notes that a tag was withdrawn with all its digests.
func (o *oracle) revoked(repository, tag string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.spans[repository+":"+tag] {
		if s.moved.IsZero() {
			s.moved, s.movedFresh = now, o.fresh[repository]
		}
		if s.revoked.IsZero() {
			s.revoked, s.revokedFresh = now, o.fresh[repository]
		}
	}
}

// A yes is one answer by which an image would run.
type yes struct {
	repository, tag string
	digest          string    // that would run
	byDigest        bool      // the digest was asked for with the tag
	asked           time.Time // by the test's clock, before the question
	last            bool      // the last verdict may be taken while it has not expired
}

// wrong tells why an answer is a wrong yes, "" when it is right. Whoever asks must see
// what was done longer than refresh ago, or, where the last verdict may be taken, what
// was done before anything that is still in date.
func (o *oracle) wrong(y yes, refresh time.Duration) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !y.asked.Before(o.fresh[y.repository]) {
		return fmt.Sprintf("at %s all timestamps of %s had expired, the last at %s", y.asked, y.repository, o.fresh[y.repository])
	}
	why := "it was never signed under this tag"
	for _, s := range o.spans[y.repository+":"+y.tag] {
		if s.digest != y.digest {
			continue
		}
		end, fresh := s.moved, s.movedFresh
		if y.byDigest {
			end, fresh = s.revoked, s.revokedFresh
		}
		switch {
		case end.IsZero():
			return ""
		case y.asked.Sub(end) <= refresh:
			return ""
		case y.last && y.asked.Before(fresh):
			return ""
		}
		why = fmt.Sprintf("it stood there until %s, which was %s ago", end, y.asked.Sub(end))
	}
	return why
}
