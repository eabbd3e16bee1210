package tuf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// A State is the newest file of every role of one repository, as a server stores
// them and a signer is shown them.
type State struct {
	Root      File
	Roles     map[string]File // targets and every signer, by name; signers that were removed stay
	Snapshot  File
	Timestamp File
}

// Versions returns the version of every role's file.
func (s *State) Versions() map[string]int64 {
	versions := map[string]int64{RoleRoot: s.Root.Version}
	for name, file := range s.Roles {
		versions[name] = file.Version
	}
	for _, file := range []File{s.Snapshot, s.Timestamp} {
		if file.Version > 0 {
			versions[file.Role] = file.Version
		}
	}
	return versions
}

// PublishRules are what a server, or the signer, demands of what people publish,
// beyond what every client checks.
type PublishRules struct {
	Now     time.Time
	Limits  Limits                   // zero fields are the defaults
	MaxLife map[string]time.Duration // furthest expiry by role; "signer" is for delegated roles; absent: DefaultMaxLife
	// RootKeys are the IDs of the only keys that root's own role may list; none
	// means any.
	RootKeys []string
	// Floors are versions that clients may have seen of files that are not in the
	// state, by role: of a name that was retired, or that a server has lost. The next
	// file is one above, where that is more than the state's version.
	Floors map[string]int64
	// Online are the signer's keys for this repository by role (snapshot and
	// timestamp). Where given, a new root must list just these.
	Online map[string][]*Key
}

// DefaultMaxLife is the furthest expiry that a publish may ask for.
func DefaultMaxLife(role string) time.Duration {
	const day = 24 * time.Hour
	switch role {
	case RoleRoot:
		return 3 * 366 * day
	case RoleSnapshot:
		return 31 * day
	case RoleTimestamp:
		return 8 * day
	}
	return 400 * day
}

func (r PublishRules) maxLife(role string) time.Duration {
	if !IsTopLevel(role) {
		if life, ok := r.MaxLife["signer"]; ok {
			return life
		}
	}
	if life, ok := r.MaxLife[role]; ok {
		return life
	}
	return DefaultMaxLife(role)
}

// CheckPublish decides whether files may follow cur as the state of repository.
// cur is nil for a repository that is to be created. It checks everything that a
// client checks and what the profile adds, before one row is written: the strict
// shape, the one form, versions exactly one above (a file that is not returns
// ErrConflict), root by the old and the new keys, every role to the threshold its
// delegator states now, expiries, names and patterns, limits.
//
// It returns the state to sign a snapshot for, with Snapshot and Timestamp as in
// cur, and the files as they are to be stored: signatures that nobody asked for,
// or that do not verify, are dropped. No files and no error means that cur holds
// just this already, as after an answer that got lost.
func CheckPublish(repository string, cur *State, files []File, rules PublishRules) (next *State, changed []File, err error) {
	defer recoverShape(&err)
	p := publish{repository: repository, cur: cur, rules: rules}
	if unchanged, err := p.check(files); err != nil {
		return nil, nil, err
	} else if unchanged {
		return cur, nil, nil
	}
	return p.result()
}

// CheckProposed makes every check of CheckPublish but one: the new files need not be
// signed by as many as must, or by anybody, yet. What it passes is not to be
// trusted; it is what people may be asked to sign, since it could be published once
// they have. Files that cur holds already return ErrConflict.
func CheckProposed(repository string, cur *State, files []File, rules PublishRules) (err error) {
	defer recoverShape(&err)
	p := publish{repository: repository, cur: cur, rules: rules, proposed: true}
	_, err = p.check(files)
	return err
}

// check makes all checks. unchanged says that cur holds just these files already.
func (p *publish) check(files []File) (unchanged bool, err error) {
	p.rules.Limits, p.fresh = p.rules.Limits.orDefault(), map[string]bool{}
	if err := CheckRepository(p.repository); err != nil {
		return false, err
	}
	if err := p.read(files); err != nil {
		return false, err
	}
	if p.cur != nil && !p.proposed && p.unchanged(files) {
		return true, nil
	}
	if err := p.versions(files); err != nil {
		return false, err
	}
	if err := p.checkRoot(); err != nil {
		return false, err
	}
	return false, p.checkRoles()
}

// publish is one CheckPublish at work.
type publish struct {
	repository string
	cur        *State
	rules      PublishRules
	proposed   bool                // the new files' signatures are yet to come
	root       *Root               // the new root, or nil
	roles      map[string]*Targets // the new roles' files
	bytes      map[string][]byte   // as they were sent, which is their one form
	stored     map[string]*Targets // files of cur that were read already
	fresh      map[string]bool     // roles whose file is new
	effective  *Root               // the root that holds after the publish
	tree       map[string]*Targets // all that is reachable after the publish
}

func (p *publish) refuse(role string, version int64, rule Rule, clause, format string, args ...any) error {
	return &Refusal{Repository: p.repository, Role: role, Version: version, Rule: rule, Clause: clause, Detail: fmt.Sprintf(format, args...)}
}

// read parses the files, strictly, and refuses what is no publisher's to send.
func (p *publish) read(files []File) error {
	if len(files) == 0 {
		return p.refuse("", 0, RuleShape, "Signet publish", "a publish has at least one file")
	}
	p.roles, p.bytes = map[string]*Targets{}, map[string][]byte{}
	for _, file := range files {
		if p.fresh[file.Role] {
			return p.refuse(file.Role, file.Version, RuleShape, "Signet publish", "the role stands twice in one publish")
		}
		p.fresh[file.Role] = true
		switch {
		case file.Role == RoleSnapshot || file.Role == RoleTimestamp:
			return p.refuse(file.Role, file.Version, RuleOnlineKey, "Signet profile: the signer", "snapshot and timestamp are made by the signer, not published")
		case file.Role == RoleRoot:
			root, err := readPublished[metadata.RootType](file, RoleRoot, p.rules.Limits)
			if err != nil {
				return p.named(err, file)
			}
			if root.Signed.Version != file.Version {
				return p.refuse(file.Role, file.Version, RuleVersion, "Signet publish", "the file states version %d", root.Signed.Version)
			}
			p.root = root
		default:
			if file.Role != RoleTargets {
				if err := CheckRoleName(file.Role); err != nil {
					return p.named(err, file)
				}
			}
			targets, err := readPublished[metadata.TargetsType](file, RoleTargets, p.rules.Limits)
			if err != nil {
				return p.named(err, file)
			}
			if targets.Signed.Version != file.Version {
				return p.refuse(file.Role, file.Version, RuleVersion, "Signet publish", "the file states version %d", targets.Signed.Version)
			}
			p.roles[file.Role], p.bytes[file.Role] = targets, file.Bytes
		}
	}
	return nil
}

// named adds what a refusal from below could not know.
func (p *publish) named(err error, file File) error {
	t := Trusted{repository: p.repository}
	return t.refuse(err, file.Role, file.Version, "Signet publish")
}

// readPublished reads a file that is to be stored: besides the shape, its bytes
// are the one form of what was read, and nothing stands outside of what is signed.
func readPublished[T metadata.Roles](file File, kind string, limits Limits) (*metadata.Metadata[T], error) {
	md, err := readSigned[T](file.Bytes, kind, limits)
	if err != nil {
		return nil, err
	}
	if len(md.UnrecognizedFields) > 0 {
		return nil, &Refusal{Rule: RuleCanonical, Clause: "Signet profile: canonical bytes", Detail: "the file has members beside signed and signatures"}
	}
	for _, s := range md.Signatures {
		if len(s.UnrecognizedFields) > 0 {
			return nil, &Refusal{Rule: RuleCanonical, Clause: "Signet profile: canonical bytes", Detail: "a signature has members beside keyid and sig"}
		}
	}
	again, err := Encode(md)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, file.Bytes) {
		return nil, &Refusal{Rule: RuleCanonical, Clause: "Signet profile: canonical bytes",
			Detail: "the file is not in canonical form: sorted members, no space, signatures by key ID"}
	}
	return md, nil
}

// unchanged tells whether cur holds the signed content of every file already.
func (p *publish) unchanged(files []File) bool {
	for _, file := range files {
		stored := p.cur.Roles[file.Role]
		if file.Role == RoleRoot {
			stored = p.cur.Root
		}
		if stored.Version != file.Version || !samePayload(stored.Bytes, file.Bytes, file.Role) {
			return false
		}
	}
	return true
}

func samePayload(a, b []byte, role string) bool {
	if bytes.Equal(a, b) {
		return true
	}
	payload := func(data []byte) []byte {
		var signed []byte
		if role == RoleRoot {
			if md, err := ReadRoot(data); err == nil {
				signed, _ = Payload(md)
			}
		} else if md, err := ReadTargets(data); err == nil {
			signed, _ = Payload(md)
		}
		return signed
	}
	x := payload(a)
	return x != nil && bytes.Equal(x, payload(b))
}

// versions demands exactly one above what is stored.
func (p *publish) versions(files []File) error {
	for _, file := range files {
		var stored int64
		if p.cur != nil {
			stored = p.cur.Roles[file.Role].Version
			if file.Role == RoleRoot {
				stored = p.cur.Root.Version
			}
		}
		// Every root is one above the last, for clients to follow (§5.3.3), but for the
		// first of a name that was used before.
		if floor := p.rules.Floors[file.Role]; floor > stored && (file.Role != RoleRoot || p.cur == nil) {
			if file.Version != floor+1 {
				return fmt.Errorf("%s: %s version %d was published; clients may have seen version %d, so version %d is expected: %w",
					p.repository, file.Role, file.Version, floor, floor+1, ErrConflict)
			}
			continue
		}
		if file.Version != stored+1 {
			return fmt.Errorf("%s: %s version %d was published on version %d, and version %d is there: %w",
				p.repository, file.Role, file.Version, file.Version-1, stored, ErrConflict)
		}
	}
	if p.cur == nil && (p.root == nil || p.roles[RoleTargets] == nil) {
		return p.refuse("", 0, RuleShape, "Signet publish", "a new repository starts with root and targets")
	}
	return nil
}

// checkRoot verifies the new root, if there is one, and settles which root holds.
func (p *publish) checkRoot() error {
	if p.root == nil {
		root, err := ReadRoot(p.cur.Root.Bytes)
		if err != nil {
			return fmt.Errorf("stored root of %s: %w", p.repository, err)
		}
		p.effective = root
		return nil
	}
	version := p.root.Signed.Version
	t := Trusted{repository: p.repository}
	if p.cur != nil && !p.proposed {
		old, err := ReadRoot(p.cur.Root.Bytes)
		if err != nil {
			return fmt.Errorf("stored root of %s: %w", p.repository, err)
		}
		if err := VerifyRoot(old, p.root); err != nil {
			return t.refuse(err, RoleRoot, version, fmt.Sprintf("TUF §5.3.4, by the keys of version %d", old.Signed.Version))
		}
	}
	if err := VerifyRoot(p.root, p.root); err != nil && !p.proposed {
		return t.refuse(err, RoleRoot, version, "TUF §5.3.4, by its own keys")
	}
	p.effective = p.root
	return p.checkRootProfile()
}

// checkRootProfile holds a new root to the profile (DESIGN §4).
func (p *publish) checkRootProfile() error {
	signed := p.root.Signed
	if !signed.ConsistentSnapshot {
		return p.refuse(RoleRoot, signed.Version, RuleShape, "TUF §6.2, Signet profile", "consistent_snapshot is not true")
	}
	if name := RepositoryOf(p.root); name != p.repository {
		return p.refuse(RoleRoot, signed.Version, RuleRepository, "Signet profile: "+MemberRepository, "root names the repository %q, not %q", clip(name), p.repository)
	}
	for name := range signed.UnrecognizedFields {
		if name != MemberRepository && name != MemberAttestations {
			return p.refuse(RoleRoot, signed.Version, RuleShape, "Signet profile", "root has the unknown member %q", clip(name))
		}
	}
	if err := p.checkLife(RoleRoot, signed.Version, signed.Expires); err != nil {
		return err
	}
	if err := p.checkKeys(RoleRoot, signed.Version, signed.Keys); err != nil {
		return err
	}
	if err := p.checkAttestations(RoleRoot, signed.Version, signed.UnrecognizedFields, signed.Keys); err != nil {
		return err
	}
	listed := map[string]bool{}
	for name, role := range signed.Roles {
		if !IsTopLevel(name) {
			return p.refuse(RoleRoot, signed.Version, RuleShape, "TUF §4.3", "root lists the role %q", clip(name))
		}
		if err := p.checkRoleKeys(RoleRoot, signed.Version, name, role.KeyIDs, role.Threshold, signed.Keys); err != nil {
			return err
		}
		for _, id := range role.KeyIDs {
			listed[id] = true
		}
	}
	for id := range signed.Keys {
		if !listed[id] {
			return p.refuse(RoleRoot, signed.Version, RuleKeyID, "Signet profile: keys", "key %s is listed but belongs to no role", id)
		}
	}
	for _, id := range signed.Roles[RoleRoot].KeyIDs {
		if len(p.rules.RootKeys) > 0 && !slices.Contains(p.rules.RootKeys, id) {
			return p.refuse(RoleRoot, signed.Version, RuleAnchor, "this server's rules for the name", "key %s may not be a root key of this repository", id)
		}
	}
	return p.checkOnline()
}

// checkOnline demands that snapshot and timestamp have the signer's keys only.
func (p *publish) checkOnline() error {
	for _, role := range []string{RoleSnapshot, RoleTimestamp} {
		if p.rules.Online == nil {
			return nil
		}
		listed := p.root.Signed.Roles[role]
		if listed.Threshold != 1 {
			return p.refuse(RoleRoot, p.root.Signed.Version, RuleOnlineKey, "Signet profile: the signer", "%s has the threshold %d; one signer meets 1 only", role, listed.Threshold)
		}
		for _, id := range listed.KeyIDs {
			if !slices.ContainsFunc(p.rules.Online[role], func(k *Key) bool { return k.ID() == id }) {
				return p.refuse(RoleRoot, p.root.Signed.Version, RuleOnlineKey, "Signet profile: the signer", "key %s of %s is not one of the signer's for this repository", id, role)
			}
		}
	}
	return nil
}

// checkLife refuses what has expired or would live too long.
func (p *publish) checkLife(role string, version int64, expires time.Time) error {
	if !expires.After(p.rules.Now) {
		return &ExpiredError{Repository: p.repository, Role: role, Version: version, Expired: expires, Now: p.rules.Now}
	}
	if furthest := p.rules.Now.Add(p.rules.maxLife(role)); expires.After(furthest) {
		return p.refuse(role, version, RuleExpiry, "Signet limits", "it expires at %s; at most %s is allowed",
			expires.UTC().Format(time.RFC3339), furthest.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkKeys demands usable keys of the profile under their own IDs.
func (p *publish) checkKeys(role string, version int64, keys map[string]*metadata.Key) error {
	for id, listed := range keys {
		if !usableKey(listed) {
			return p.refuse(role, version, RuleKeyID, "TUF §4.2", "key %s cannot be used: %s", clip(id), clip(listed.Type+"/"+listed.Scheme))
		}
		key, err := keyFromMetadata(listed)
		if err != nil {
			return p.refuse(role, version, RuleKeyID, "TUF §4.2", "key %s: %v", clip(id), err)
		}
		if key.ID() != id {
			return p.refuse(role, version, RuleKeyID, "TUF §4.2", "a key is listed as %s, but its ID is %s", clip(id), key.ID())
		}
		if own, err := NewKey(key.Public()); err != nil || own.ID() != id {
			return p.refuse(role, version, RuleKeyID, "Signet profile: keys", "key %s is not of the profile: ECDSA P-256 or P-384, or Ed25519, in go-tuf's form", id)
		}
	}
	return nil
}

// checkRoleKeys demands that a role's threshold can be met, by distinct keys.
func (p *publish) checkRoleKeys(in string, version int64, role string, ids []string, threshold int, keys map[string]*metadata.Key) error {
	for _, id := range ids {
		if keys[id] == nil {
			return p.refuse(in, version, RuleKeyID, "TUF §4.3", "%s names key %s, which is not listed", role, clip(id))
		}
	}
	if threshold < 1 || threshold > len(ids) {
		return p.refuse(in, version, RuleThreshold, "TUF §4.3", "%s has %d keys and the threshold %d, which can never be met", role, len(ids), threshold)
	}
	return nil
}

// checkRoles walks the tree of roles as it would be after the publish and checks
// every role in it: the new files by all rules, the stored ones for their
// signatures, since a new delegator may list other keys for them.
func (p *publish) checkRoles() error {
	p.tree = map[string]*Targets{}
	if err := p.checkRole(RoleTargets, nil, nil); err != nil {
		return err
	}
	for role := range p.roles {
		if p.tree[role] == nil {
			return p.refuse(role, p.roles[role].Signed.Version, RuleDelegation, "TUF §4.5", "no role delegates to %s", role)
		}
	}
	return nil
}

// checkRole checks one role under parent (nil: root), then those below it. within
// are the delegations above it, whose paths all bind it.
func (p *publish) checkRole(role string, parent *Targets, within []metadata.DelegatedRole) error {
	targets := p.roles[role]
	if targets == nil {
		if p.cur == nil || p.cur.Roles[role].Bytes == nil {
			return p.refuse(role, 0, RuleDelegation, "TUF §4.5, §5.6.7", "the role is delegated to, but has no file; publish its first version with the delegation")
		}
		if targets = p.stored[role]; targets == nil {
			var err error
			if targets, err = ReadTargets(p.cur.Roles[role].Bytes); err != nil {
				return fmt.Errorf("stored %s of %s: %w", role, p.repository, err)
			}
		}
	}
	if p.tree[role] != nil {
		return p.refuse(role, targets.Signed.Version, RuleDelegation, "Signet profile: delegations", "the role stands twice in the tree of delegations")
	}
	for other := range p.tree {
		if strings.EqualFold(other, role) {
			return p.refuse(role, targets.Signed.Version, RuleDelegation, "Signet profile: delegations", "the names %s and %s differ in letter case only", clip(other), role)
		}
	}
	p.tree[role] = targets
	if len(p.tree) > MaxRoles {
		return p.refuse(role, targets.Signed.Version, RuleLimit, "Signet limits", "more than %d roles", MaxRoles)
	}
	t, version := Trusted{repository: p.repository}, targets.Signed.Version
	var err error
	switch {
	case p.proposed && p.fresh[role]:
	case parent == nil:
		err = usableRoot(p.effective).VerifyDelegate(role, targets)
	default:
		err = parent.VerifyDelegate(role, targets)
	}
	if err != nil {
		return t.refuse(err, role, version, "TUF §5.6.3")
	}
	if p.fresh[role] {
		if err := p.checkLife(role, version, targets.Signed.Expires); err != nil {
			return err
		}
		if err := checkTargets(p.repository, role, targets); err != nil {
			return err
		}
		if err := p.checkSigned(role, targets); err != nil {
			return err
		}
		if err := p.checkAttestations(role, version, targets.Signed.UnrecognizedFields, signersKeys(targets)); err != nil {
			return err
		}
	}
	for path := range targets.Signed.Targets {
		for _, delegation := range within {
			if !Delegated(delegation, path) {
				return p.refuse(role, version, RulePath, "TUF §5.6.7", "target path %q is outside of what %s may sign", clip(path), delegation.Name)
			}
		}
	}
	return p.checkDelegations(role, targets, within)
}

// checkDelegations checks what role delegates, and descends.
func (p *publish) checkDelegations(role string, targets *Targets, within []metadata.DelegatedRole) error {
	d, version := targets.Signed.Delegations, targets.Signed.Version
	if d == nil {
		return nil
	}
	if d.SuccinctRoles != nil {
		return p.refuse(role, version, RuleDelegation, "Signet profile: delegations", "this server does not take succinct hash bins yet; name the signers")
	}
	if err := p.checkKeys(role, version, d.Keys); err != nil {
		return err
	}
	for _, delegated := range d.Roles {
		if err := CheckRoleName(delegated.Name); err != nil {
			return p.named(err, File{Role: role, Version: version})
		}
		if err := p.checkRoleKeys(role, version, delegated.Name, delegated.KeyIDs, delegated.Threshold, d.Keys); err != nil {
			return err
		}
		if len(delegated.PathHashPrefixes) > 0 || len(delegated.Paths) == 0 {
			return p.refuse(role, version, RuleDelegation, "Signet profile: delegations", "signer %s has no tag patterns", delegated.Name)
		}
		for _, pattern := range delegated.Paths {
			if err := checkTagPattern(p.repository, pattern, delegated.Paths); err != nil {
				return p.refuse(role, version, RulePath, "Signet profile: target paths", "signer %s: %v", delegated.Name, err)
			}
		}
		if err := p.checkRole(delegated.Name, targets, append(slices.Clone(within), delegated)); err != nil {
			return err
		}
	}
	return nil
}
