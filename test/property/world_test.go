package property_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

const (
	app   = "registry.example/team/app"
	other = "registry.example/team/other" // has app's root and targets keys
	day   = 24 * time.Hour
)

// A testing is what rapid.T and testing.T have in common, as far as it is needed.
type testing interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
}

// must is for what the test itself does, and which cannot fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// key returns the n-th key: the same in every run, so that a history can be played
// again.
func key(n int) tuf.Signer {
	seed := sha256.Sum256(fmt.Appendf(nil, "key %d", n))
	return must(tuf.NewSigner(ed25519.NewKeyFromSeed(seed[:])))
}

// digest returns that of a word.
func digest(word string) string {
	sum := sha256.Sum256([]byte(word))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// keys are those of one role.
type keys struct {
	signers   []tuf.Signer
	threshold int
}

func (k keys) public() tuf.RoleKeys {
	r := tuf.RoleKeys{Threshold: k.threshold}
	for _, s := range k.signers {
		r.Keys = append(r.Keys, s.Key())
	}
	return r
}

// A signer is a delegated role as the model knows it.
type signer struct {
	name        string
	keys        keys
	pattern     string // of tags, with one '*' or none
	terminating bool
}

// fits is the model's own reading of a pattern.
func (s signer) fits(tag string) bool {
	before, after, wild := strings.Cut(s.pattern, "*")
	if !wild {
		return tag == s.pattern
	}
	return len(tag) >= len(before)+len(after) && strings.HasPrefix(tag, before) && strings.HasSuffix(tag, after)
}

// A world is one repository: what its people do, and all that was ever published.
type world struct {
	t    testing
	name string
	now  time.Time

	next                               int // key to be made next
	root, targets, snapshot, timestamp keys
	signers                            []signer // in the order of the delegations
	md                                 *tuf.Root
	roles                              map[string]*tuf.Targets

	state   *tuf.State
	files   map[string][]byte // every file that was ever published, but timestamps
	made    map[string]bool   // every file that anybody has signed, by what was signed
	judged  map[string]bool   // what genuine said before, by bytes
	history []*moment
	removal int64 // version of the last root that took an online key away
}

// A moment is what the honest server served at one time.
type moment struct {
	root      int64 // the newest
	timestamp []byte
	snapshot  int64
	versions  map[string]int64 // of targets and signers
	truth     map[string]string
}

func newWorld(t testing, name string) *world {
	w := &world{t: t, name: name, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), roles: map[string]*tuf.Targets{}, files: map[string][]byte{}, made: map[string]bool{}, judged: map[string]bool{}}
	w.root, w.targets = w.newKeys(1, 1), w.newKeys(1, 1)
	if name != app {
		w.next = 1000
	}
	w.snapshot, w.timestamp = w.newKeys(1, 1), w.newKeys(1, 1)
	w.md = must(tuf.NewRoot(tuf.RootSpec{Repository: name, Version: 1, Expires: w.now.Add(365 * day),
		Root: w.root.public(), Targets: w.targets.public(), Snapshot: w.snapshot.public(), Timestamp: w.timestamp.public()}))
	w.roles[tuf.RoleTargets] = tuf.NewTargets(1, w.now.Add(180*day))
	w.publish(w.rootFile(), w.roleFile(tuf.RoleTargets))
	return w
}

// newKeys makes n keys.
func (w *world) newKeys(n, threshold int) keys {
	k := keys{threshold: threshold}
	for range n {
		k.signers = append(k.signers, key(w.next))
		w.next++
	}
	return k
}

func encode[T metadata.Roles](md *metadata.Metadata[T], signers []tuf.Signer) []byte {
	md.Signatures = []metadata.Signature{}
	if err := tuf.Sign(context.Background(), md, signers...); err != nil {
		panic(err)
	}
	return must(tuf.Encode(md))
}

// rootFile signs root as it is, by its own keys and by more.
func (w *world) rootFile(more ...tuf.Signer) tuf.File {
	return tuf.File{Role: tuf.RoleRoot, Version: w.md.Signed.Version, Bytes: encode(w.md, append(slices.Clone(w.root.signers), more...))}
}

// roleFile signs a role's file as it is.
func (w *world) roleFile(role string) tuf.File {
	by := w.targets
	if role != tuf.RoleTargets {
		by = w.signer(role).keys
	}
	md := w.roles[role]
	return tuf.File{Role: role, Version: md.Signed.Version, Bytes: encode(md, by.signers[:by.threshold])}
}

func (w *world) signer(name string) *signer {
	for i := range w.signers {
		if w.signers[i].name == name {
			return &w.signers[i]
		}
	}
	return nil
}

// publish hands files to the server's check and signs what follows.
func (w *world) publish(files ...tuf.File) {
	w.t.Helper()
	next, changed, err := tuf.CheckPublish(w.name, w.state, files, tuf.PublishRules{Now: w.now})
	if err != nil {
		w.t.Fatalf("an honest publish was refused: %v", err)
	}
	w.state = next
	for _, file := range changed {
		w.keep(file)
	}
	w.release()
}

// keep notes a file that was published.
func (w *world) keep(file tuf.File) {
	w.files[file.Name()], w.made[payload(file.Bytes)] = file.Bytes, true
}

// payload is what is signed of a file. What stands before it, the signatures, anybody
// can write in another way: with upper-case digits, or one fewer than there were.
func payload(data []byte) string {
	_, signed, _ := bytes.Cut(data, []byte(`,"signed":`))
	return string(signed)
}

// genuine tells whether somebody who had the keys has made a file, by go-tuf's word:
// a damaged one is none.
func (w *world) genuine(role string, data []byte) (ok bool) {
	if data == nil || !w.made[payload(data)] {
		return false
	}
	if known, judged := w.judged[string(data)]; judged {
		return known
	}
	defer func() { w.judged[string(data)] = ok }()
	for version := int64(1); version <= w.md.Signed.Version; version++ {
		by := must(tuf.ReadRoot(w.files[tuf.FileName(tuf.RoleRoot, version)]))
		var err error
		switch role {
		case tuf.RoleRoot:
			var md *tuf.Root
			if md, err = tuf.ReadRoot(data); err == nil {
				err = by.VerifyDelegate(role, md)
			}
		case tuf.RoleTimestamp:
			var md *tuf.Timestamp
			if md, err = tuf.ReadTimestamp(data); err == nil {
				err = by.VerifyDelegate(role, md)
			}
		case tuf.RoleSnapshot:
			var md *tuf.Snapshot
			if md, err = tuf.ReadSnapshot(data); err == nil {
				err = by.VerifyDelegate(role, md)
			}
		}
		if err == nil {
			return true
		}
	}
	return false
}

// release is the signer's part: the next snapshot and timestamp.
func (w *world) release() {
	w.t.Helper()
	snapshot := tuf.NewSnapshot(w.state.Snapshot.Version+1, w.now.Add(7*day), slices.Collect(maps.Values(w.state.Roles)))
	w.state.Snapshot = tuf.File{Role: tuf.RoleSnapshot, Version: snapshot.Signed.Version, Bytes: encode(snapshot, w.snapshot.signers[:1])}
	w.keep(w.state.Snapshot)
	w.stamp()
}

// stamp signs the next timestamp, and notes the moment.
func (w *world) stamp() {
	w.t.Helper()
	timestamp := tuf.NewTimestamp(w.state.Timestamp.Version+1, w.now.Add(day), w.state.Snapshot)
	w.state.Timestamp = tuf.File{Role: tuf.RoleTimestamp, Version: timestamp.Signed.Version, Bytes: encode(timestamp, w.timestamp.signers[:1])}
	w.made[payload(w.state.Timestamp.Bytes)] = true
	m := &moment{root: w.md.Signed.Version, timestamp: w.state.Timestamp.Bytes, snapshot: w.state.Snapshot.Version,
		versions: map[string]int64{}, truth: map[string]string{}}
	for role, file := range w.state.Roles {
		m.versions[role] = file.Version
	}
	for _, tag := range tags {
		m.truth[tag], _ = w.answer(tag)
	}
	w.history = append(w.history, m)
	if !w.expired() {
		if _, err := tuf.CheckState(w.name, w.state, w.now, tuf.Limits{}); err != nil {
			w.t.Fatalf("what the server took is no state that a client takes: %v", err)
		}
	}
}

// refresh is what the server does by itself: no timestamp or snapshot expires on it.
func (w *world) refresh() {
	if w.timestampOf(w.state.Timestamp.Bytes).Signed.Expires.Sub(w.now) > day/2 {
		return
	}
	if must(tuf.ReadSnapshot(w.state.Snapshot.Bytes)).Signed.Expires.Sub(w.now) > 2*day {
		w.stamp()
	} else {
		w.release()
	}
}

func (w *world) timestampOf(data []byte) *tuf.Timestamp { return must(tuf.ReadTimestamp(data)) }

// expired tells whether people have let something expire.
func (w *world) expired() bool {
	late := !w.md.Signed.Expires.After(w.now) || !w.roles[tuf.RoleTargets].Signed.Expires.After(w.now)
	for _, s := range w.signers {
		late = late || !w.roles[s.name].Signed.Expires.After(w.now)
	}
	return late
}

// answer is the model's own search: what a tag means now, and which roles have to be
// read to know. It is the truth that verifiers are held against.
func (w *world) answer(tag string) (digest string, read []string) {
	listed := func(role string) string {
		if file := w.roles[role].Signed.Targets[w.name+":"+tag]; file != nil {
			return "sha256:" + hex.EncodeToString(file.Hashes["sha256"])
		}
		return ""
	}
	read = []string{tuf.RoleTargets}
	if found := listed(tuf.RoleTargets); found != "" {
		return found, read
	}
	for _, s := range w.signers {
		if !s.fits(tag) {
			continue
		}
		read = append(read, s.name)
		if found := listed(s.name); found != "" || s.terminating {
			return found, read
		}
	}
	return "", read
}

var tags = []string{"1.0", "1.1", "a-1", "a-2", "b-1", "ab-1"}

// raise begins the next version of a role.
func (w *world) raise(role string) *tuf.Targets {
	md := w.roles[role]
	md.Signed.Version++
	life := 180 * day
	if role != tuf.RoleTargets {
		life = 90 * day
	}
	md.Signed.Expires = w.now.Add(life)
	return md
}

// set makes a tag mean a word in a role, and publishes.
func (w *world) set(role, tag, word string) {
	w.t.Helper()
	md := w.raise(role)
	if err := tuf.SetTarget(md, w.name, tag, tuf.Target{Digest: digest(word), Length: 9}); err != nil {
		panic(err)
	}
	w.publish(w.roleFile(role))
}

// withdraw takes a tag away from targets.
func (w *world) withdraw(tag string) {
	w.t.Helper()
	tuf.RemoveTag(w.raise(tuf.RoleTargets), w.name, tag, "")
	w.publish(w.roleFile(tuf.RoleTargets))
}

// delegations writes the signers into targets.
func (w *world) delegations() {
	md := w.raise(tuf.RoleTargets)
	md.Signed.Delegations = nil
	for _, s := range w.signers {
		if md.Signed.Delegations == nil {
			md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
		}
		role := metadata.DelegatedRole{Name: s.name, Threshold: s.keys.threshold, KeyIDs: []string{}, Terminating: s.terminating,
			Paths: []string{w.name + ":" + s.pattern, w.name + ":" + s.pattern + "@sha256:*"}}
		for _, k := range s.keys.signers {
			md.Signed.Delegations.Keys[k.Key().ID()] = k.Key().Metadata()
			role.KeyIDs = append(role.KeyIDs, k.Key().ID())
		}
		md.Signed.Delegations.Roles = append(md.Signed.Delegations.Roles, role)
	}
}

// addSigner delegates to a new signer, or to one who comes back under the name.
func (w *world) addSigner(s signer) {
	w.t.Helper()
	w.signers = append(w.signers, s)
	if w.roles[s.name] == nil {
		w.roles[s.name] = tuf.NewTargets(0, w.now)
	}
	clear(w.raise(s.name).Signed.Targets)
	w.delegations()
	w.publish(w.roleFile(tuf.RoleTargets), w.roleFile(s.name))
}

func (w *world) removeSigner(name string) {
	w.t.Helper()
	w.signers = slices.DeleteFunc(w.signers, func(s signer) bool { return s.name == name })
	w.delegations()
	w.publish(w.roleFile(tuf.RoleTargets))
}

// rekeySigner gives a signer other keys, and re-signs its file with them.
func (w *world) rekeySigner(name string, k keys) {
	w.t.Helper()
	w.signer(name).keys = k
	w.raise(name)
	w.delegations()
	w.publish(w.roleFile(tuf.RoleTargets), w.roleFile(name))
}

// rotate publishes the next root with these keys for a role.
func (w *world) rotate(role string, k keys) {
	w.t.Helper()
	old := w.root
	w.md.Signed.Version++
	w.md.Signed.Expires = w.now.Add(365 * day)
	if err := tuf.SetRoleKeys(w.md, role, k.public()); err != nil {
		panic(err)
	}
	of := map[string]*keys{tuf.RoleRoot: &w.root, tuf.RoleTargets: &w.targets, tuf.RoleSnapshot: &w.snapshot, tuf.RoleTimestamp: &w.timestamp}[role]
	if role == tuf.RoleSnapshot || role == tuf.RoleTimestamp {
		for _, s := range of.signers {
			if !slices.ContainsFunc(k.signers, func(n tuf.Signer) bool { return n.Key().ID() == s.Key().ID() }) {
				w.removal = w.md.Signed.Version
			}
		}
	}
	*of = k
	var more []tuf.Signer
	if role == tuf.RoleRoot {
		more = old.signers
	}
	files := []tuf.File{w.rootFile(more...)}
	if role == tuf.RoleTargets {
		w.raise(tuf.RoleTargets)
		files = append(files, w.roleFile(tuf.RoleTargets))
	}
	w.publish(files...)
}

// renew publishes everything anew that people sign.
func (w *world) renew() {
	w.t.Helper()
	w.md.Signed.Version++
	w.md.Signed.Expires = w.now.Add(365 * day)
	files := []tuf.File{w.rootFile()}
	for _, role := range slices.Sorted(maps.Keys(w.roles)) {
		if role == tuf.RoleTargets || w.signer(role) != nil {
			w.raise(role)
			files = append(files, w.roleFile(role))
		}
	}
	w.publish(files...)
}
