package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// Bounds on a server's history: one without an end would have us read for ever.
const (
	maxHistoryFiles = 1_000_000 // files of one repository
	maxHistoryGaps  = 1000      // gaps that are told
)

// A Past is one file of a repository's history. What it says is what its signatures
// are worth; Generation, Time and Token are the server's word.
type Past struct {
	Generation int64
	Time       time.Time
	Token      string // the ID of the token that published; "": the server itself
	Role       string
	Version    int64
	Root       *tuf.Root    // of root, or nil
	Targets    *tuf.Targets // of targets and signers, or nil
	OldRoot    *tuf.Root    // the proven version before, nil where there is none
	OldTargets *tuf.Targets
	// Signers are the IDs of the keys of which a signature on the file verifies,
	// sorted: keys that the role had then, or that any role of the repository had.
	Signers []string
	// Counted are those of Signers that the file hangs on: keys that the role had then
	// or, of a new root, that the root before it had.
	Counted []string
	// Proven tells whether keys that were the role's at that time have signed it to
	// their threshold (§5.3.4, §5.6.3). A file that is not is none that a verifier
	// ever believed, or the history leaves something out.
	Proven bool
}

// A Gap is something that a history does not tell.
type Gap struct {
	Role string `json:"role,omitempty"`
	From int64  `json:"from,omitempty"` // the first version that is missing
	To   int64  `json:"to,omitempty"`   // the last one
	Why  string `json:"why"`            // in words
}

// A Chronicle says how much of a repository's past was read.
type Chronicle struct {
	Files int   `json:"files"`
	Gaps  []Gap `json:"gaps"` // what the history lacks or cannot prove
	View  *View `json:"-"`    // what is served now, verified
}

// History reads what was ever published to a repository, oldest first, and hands
// each file to visit. Every signature is verified here, by keys that the repository
// itself listed up to then: the server can leave files out, which Gaps tells, and
// lie about times, but it cannot make a key have signed what it did not. It takes a
// token with the scope read. One version of each role is kept in memory.
func (p *Publisher) History(ctx context.Context, repository string, visit func(*Past) error) (*Chronicle, error) {
	anchor, err := p.anchorFor(repository)
	if err != nil {
		return nil, err
	}
	// First, since it verifies and remembers every root from the pinned one on.
	if _, err := p.read(ctx, repository, anchor, nil); err != nil {
		return nil, err
	}
	h := &historian{publisher: p, repository: repository, anchor: anchor, visit: visit, keys: map[string]*tuf.Key{},
		roles: map[string]*Past{}, last: map[string]int64{}, bytes: map[string][]byte{}}
	for after := int64(0); ; {
		var page api.HistoryResponse
		if err := p.call(ctx, http.MethodGet, api.HistoryPath(repository, after, true, 0), nil, &page); err != nil {
			return nil, err
		}
		for _, publication := range page.Publications {
			if publication.Generation <= after {
				return nil, h.wrong("generation %d comes after %d", publication.Generation, after)
			}
			after = publication.Generation
			if err := h.publication(ctx, publication); err != nil {
				return nil, err
			}
		}
		if page.Next == 0 {
			break
		}
		if len(page.Publications) == 0 || page.Next < after {
			return nil, h.wrong("it does not go on after generation %d", after)
		}
		after = page.Next
	}
	cur, err := p.read(ctx, repository, anchor, func(ctx context.Context, x *Update, _ *current) error {
		h.View, err = newView(ctx, x, repository)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.tellUnpinned(h.last[tuf.RoleRoot])
	h.compare(cur)
	if h.Gaps == nil {
		h.Gaps = []Gap{}
	}
	return &h.Chronicle, nil
}

// A historian is one History at work.
type historian struct {
	Chronicle
	publisher  *Publisher
	repository string
	anchor     *Anchor
	unpinned   int64 // from which root version on none is pinned here; 0: the last one's chain is
	visit      func(*Past) error
	keys       map[string]*tuf.Key // all that were ever listed, by ID
	roles      map[string]*Past    // the newest file of each role that is proven
	last       map[string]int64    // the newest version of each role, proven or not
	bytes      map[string][]byte   // its bytes
}

func (h *historian) wrong(format string, args ...any) error {
	return &ServerError{Server: h.publisher.Server.URL, Trouble: TroubleAnswer,
		Detail: fmt.Sprintf("its history of %s makes no sense: %s", h.repository, fmt.Sprintf(format, args...))}
}

func (h *historian) gap(g Gap) {
	if len(h.Gaps) < maxHistoryGaps {
		h.Gaps = append(h.Gaps, g)
	}
}

// publication reads the files of one publish: root first, then delegators before
// those whom they delegate to, since those say by which keys.
func (h *historian) publication(ctx context.Context, publication api.Publication) error {
	pasts := map[string]*Past{}
	var order []string
	for _, file := range publication.Files {
		if h.Files++; h.Files > maxHistoryFiles {
			return h.wrong("more than %d files", maxHistoryFiles)
		}
		past, data, err := h.file(ctx, publication, file)
		if err != nil {
			return err
		}
		if past == nil {
			continue
		}
		if pasts[file.Role] != nil {
			return h.wrong("%s stands twice in generation %d", tidy(file.Role, maxName), publication.Generation)
		}
		pasts[file.Role], h.bytes[file.Role] = past, data
		order = append(order, file.Role)
		h.learn(past)
	}
	slices.SortStableFunc(order, func(a, b string) int { return rank(a) - rank(b) })
	delegators := map[string][]string{}
	for _, role := range order {
		for _, to := range delegatesTo(pasts[role], order) {
			if pasts[to] != nil && to != role {
				delegators[to] = append(delegators[to], role)
			}
		}
	}
	seen := map[string]bool{}
	var visit func(role string) error
	visit = func(role string) error {
		if seen[role] {
			return nil // also where they go round in a circle, which no repository has
		}
		seen[role] = true
		for _, delegator := range delegators[role] {
			if err := visit(delegator); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return h.past(pasts[role])
	}
	for _, role := range order {
		if err := visit(role); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// rank puts root before targets, and targets before signers.
func rank(role string) int {
	switch role {
	case tuf.RoleRoot:
		return 0
	case tuf.RoleTargets:
		return 1
	}
	return 2
}

// delegatesTo lists the roles of which p says by which keys they are signed; of hash
// bins, which may be billions, those that are among some.
func delegatesTo(p *Past, among []string) []string {
	switch {
	case p.Root != nil:
		return []string{tuf.RoleTargets}
	case p.Targets.Signed.Delegations == nil:
		return nil
	}
	var names []string
	for _, role := range p.Targets.Signed.Delegations.Roles {
		names = append(names, role.Name)
	}
	if bins := p.Targets.Signed.Delegations.SuccinctRoles; len(names) == 0 && bins != nil {
		for _, role := range among {
			if strings.HasPrefix(role, bins.NamePrefix) && bins.IsDelegatedRole(role) {
				names = append(names, role)
			}
		}
	}
	return names
}

// file decodes one file. It returns nil for one that cannot be had, which is a gap.
func (h *historian) file(ctx context.Context, publication api.Publication, file api.HistoryFile) (*Past, []byte, error) {
	if file.Role != tuf.RoleRoot && file.Role != tuf.RoleTargets {
		if err := tuf.CheckRoleName(file.Role); err != nil {
			return nil, nil, h.wrong("%v", err)
		}
	}
	data := file.Content
	if data == nil {
		var err error
		if data, err = h.fetch(ctx, file); err != nil {
			return nil, nil, err
		}
	}
	lack := func(why string) (*Past, []byte, error) {
		h.gap(Gap{Role: file.Role, From: file.Version, To: file.Version, Why: why})
		return nil, nil, nil
	}
	if data == nil {
		return lack("the server lists it and does not have it")
	}
	past := &Past{Generation: publication.Generation, Time: publication.Time, Token: tidy(publication.Token, maxName), Role: file.Role, Version: file.Version}
	var version int64
	if file.Role == tuf.RoleRoot {
		root, err := tuf.ReadRoot(data)
		if err != nil {
			return lack("it cannot be read: " + tidy(err.Error(), maxReason))
		}
		past.Root, version = root, root.Signed.Version
	} else {
		targets, err := tuf.ReadTargets(data)
		if err != nil {
			return lack("it cannot be read: " + tidy(err.Error(), maxReason))
		}
		past.Targets, version = targets, targets.Signed.Version
	}
	if version != file.Version {
		return lack(fmt.Sprintf("what the server shows for it is version %d", version))
	}
	return past, data, nil
}

// fetch reads a file that is too large for a page.
func (h *historian) fetch(ctx context.Context, file api.HistoryFile) ([]byte, error) {
	p := h.publisher
	r, err := p.Client.remote(p.Server.URL, p.Server.CA, p.Server.PlainHTTP, p.Server.Token)
	if err != nil {
		return nil, err
	}
	name := (tuf.File{Role: file.Role, Version: file.Version}).Name()
	fetched, err := r.fetch(h.repository)(ctx, name, p.Client.config.Limits.Bytes, "")
	if errors.Is(err, tuf.ErrNotFound) {
		return nil, nil
	}
	return fetched.Bytes, err
}

// learn notes the keys that a file lists.
func (h *historian) learn(past *Past) {
	add := func(keys tuf.RoleKeys) {
		for _, key := range keys.Keys {
			h.keys[key.ID()] = key
		}
	}
	if past.Root != nil {
		add(tuf.RoleKeysOf(past.Root, tuf.RoleRoot))
		add(tuf.RoleKeysOf(past.Root, tuf.RoleTargets))
		return
	}
	if d := past.Targets.Signed.Delegations; d != nil {
		for _, role := range d.Roles {
			keys, _ := tuf.SignerKeysOf(past.Targets, role.Name)
			add(keys)
		}
	}
}

// past judges one file by what was current then, and hands it on.
func (h *historian) past(past *Past) error {
	before := h.roles[past.Role]
	if before != nil {
		past.OldRoot, past.OldTargets = before.Root, before.Targets
	}
	expected := h.last[past.Role] + 1
	switch {
	case past.Version < expected:
		return h.wrong("%s version %d comes after version %d", past.Role, past.Version, expected-1)
	case past.Version > expected:
		h.gap(Gap{Role: past.Role, From: expected, To: past.Version - 1, Why: "the server does not show it"})
	}
	h.last[past.Role] = past.Version
	past.Signers = h.signers(past)
	past.Proven = h.proven(past, before)
	if past.Root != nil {
		h.pinned(past)
	}
	if !past.Proven {
		h.gap(Gap{Role: past.Role, From: past.Version, To: past.Version, Why: "it is not signed by enough of the keys that the role had then, as far as this history tells"})
	}
	// Nothing is judged by, or compared with, a file that nobody may ever have signed:
	// what it says was so before would be the server's word.
	if past.Proven {
		kept := *past
		kept.OldRoot, kept.OldTargets = nil, nil
		h.roles[past.Role] = &kept
	}
	return h.visit(past)
}

// signers are the keys of which a signature verifies.
func (h *historian) signers(past *Past) []string {
	var signatures []metadata.Signature
	var payload []byte
	var err error
	if past.Root != nil {
		signatures = past.Root.Signatures
		payload, err = tuf.Payload(past.Root)
	} else {
		signatures = past.Targets.Signatures
		payload, err = tuf.Payload(past.Targets)
	}
	ids := []string{}
	for _, s := range signatures {
		if key := h.keys[s.KeyID]; err == nil && key != nil && key.Verify(payload, s.Signature) == nil {
			ids = append(ids, s.KeyID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// proven tells whether the role's keys of that time have signed past, and notes which.
func (h *historian) proven(past, before *Past) bool {
	enough := func(keys tuf.RoleKeys) bool {
		var counted []string
		for _, key := range keys.Keys {
			if slices.Contains(past.Signers, key.ID()) {
				counted = append(counted, key.ID())
			}
		}
		past.Counted = counted
		return keys.Threshold > 0 && len(counted) >= keys.Threshold
	}
	if past.Root != nil {
		return enough(tuf.RoleKeysOf(past.Root, tuf.RoleRoot)) &&
			(before == nil || enough(tuf.RoleKeysOf(before.Root, tuf.RoleRoot)))
	}
	if past.Role == tuf.RoleTargets {
		root := h.roles[tuf.RoleRoot]
		return root != nil && enough(tuf.RoleKeysOf(root.Root, tuf.RoleTargets))
	}
	for role, delegator := range h.roles {
		if role == tuf.RoleRoot {
			continue
		}
		if keys, ok := tuf.SignerKeysOf(delegator.Targets, past.Role); ok && enough(keys) {
			return true
		}
	}
	return false
}

// pinned takes a root that this machine pins, or has verified, as one to go on from:
// that of a name that was retired and starts again is not signed by those before. The
// roots ahead of the first such root are whatever the server likes, and so is all that
// was signed in their time.
func (h *historian) pinned(past *Past) {
	data := h.bytes[tuf.RoleRoot]
	known := h.anchor.accepts(data)
	if path, err := stateDir(h.publisher.Client.config.StateDir, h.repository); err == nil && !known {
		d := &Dir{path: path}
		kept, err := os.ReadFile(d.rootPath(past.Version))
		known = err == nil && bytes.Equal(kept, data)
	}
	switch {
	case known:
		past.Proven = true
		h.tellUnpinned(past.Version - 1)
	case h.unpinned == 0 && (h.roles[tuf.RoleRoot] == nil || !past.Proven):
		h.unpinned = past.Version
	}
}

// tellUnpinned tells of the roots up to a version that nothing here vouches for.
func (h *historian) tellUnpinned(to int64) {
	if h.unpinned > 0 {
		h.gap(Gap{Role: tuf.RoleRoot, From: h.unpinned, To: to, Why: "no key that is pinned on this machine vouches for it: what was signed in its time is the server's word"})
	}
	h.unpinned = 0
}

// compare holds the end of the history to what is served and verified.
func (h *historian) compare(cur *current) {
	check := func(role string, version int64, served []byte) {
		last := h.last[role]
		switch {
		case last == 0:
			h.gap(Gap{Role: role, From: 1, To: version, Why: "the history has nothing of it"})
		case last < version:
			h.gap(Gap{Role: role, From: last + 1, To: version, Why: "the history ends before what is served now"})
		case last > version:
			h.gap(Gap{Role: role, From: version + 1, To: last, Why: "the history goes on beyond what is served now"})
		case !bytes.Equal(h.bytes[role], served):
			h.gap(Gap{Role: role, From: version, To: version, Why: "the history has another file than is served now"})
		}
	}
	check(tuf.RoleRoot, cur.versions[tuf.RoleRoot], cur.rootBytes)
	for _, role := range slices.SortedFunc(slices.Values(cur.names), strings.Compare) {
		check(role, cur.versions[role], cur.roles[role].bytes)
	}
}
