package main

import "slices"

// mutations are all of them.
func mutations() []mutation {
	return slices.Concat(verifier(), network(), publisher(), proposals(), servers(), history(), worst(), signer(), hardware(), policies(), longLived(), gates(), kubernetes())
}

// verifier takes away what package tuf and the client's state protect from.
func verifier() []mutation {
	return []mutation{
		{"arbitrary software", "tuf/trusted.go", `return t.refuse(err, role, version, "TUF §5.6.3")`, `err = nil`,
			[]string{"client.TestArbitrarySoftware", "attack.TestArbitrarySoftware"}, nil},
		{"arbitrary software", "tuf/trusted.go", `if err := old.VerifyDelegate(RoleRoot, root); err != nil {`, `if false {
		var err error`, []string{"attack.TestArbitrarySoftware", "tuf.TestRootChain"}, nil},
		{"arbitrary software", "tuf/trusted.go", `return t.refuse(err, RoleRoot, version, "TUF §5.3.4, by its own keys")`, `err = nil`,
			[]string{"attack.TestArbitrarySoftware", "tuf.TestRootChain"}, nil},
		{"arbitrary software", "tuf/trusted.go", `if version != old.Signed.Version+1 {`, `if false {`, []string{"attack.TestArbitrarySoftware"}, nil},
		{"arbitrary software", "tuf/trusted.go", `if seen[s.KeyID] { // §4.2: one signature a key`, `if false {`, []string{"attack.TestArbitrarySoftware"}, nil},
		{"arbitrary software", "client/first.go", `len(signed) >= a.threshold() &&`, `len(signed) >= 1 &&`, []string{"attack.TestPinnedThreshold"}, nil},
		{"arbitrary software", "client/first.go", `if key.Verify(payload, s.Signature) == nil {`, `if key.Verify(payload, s.Signature) == nil || true {`, []string{"attack.TestPinnedThreshold", "client.TestFirstStart"}, nil},
		{"arbitrary software", "client/first.go", `!slices.Contains(a.RootKeys, key.ID()) ||`, ``, []string{"attack.TestPinnedThreshold"}, nil},

		{"rollback", "client/updater.go", `	if stored != nil {
		storedErr = x.trusted.UpdateTimestamp(stored)`, `	if stored != nil && x.u.Fetch == nil {
		storedErr = x.trusted.UpdateTimestamp(stored)`, []string{"client.TestRollback", "attack.TestRollback"}, nil},
		{"rollback", "client/updater.go", `if err := x.trusted.UpdateSnapshot(stored, true); err == nil && len(meta.Hashes) == 0 {`, `if false {`,
			[]string{"client.TestRollback", "attack.TestRollback"}, nil},
		{"rollback", "tuf/trusted.go", `if version != listed.Version {`, `if false {`, []string{"attack.TestRollback", "tuf.TestUpdateRefuses"}, nil},
		{"rollback", "client/session.go", `if version >= least {`, `if true {`, []string{"attack.TestRollback", "attack.TestHiddenRoot"}, nil},
		{"hidden root", "client/first.go", `	if t == nil {
		first, version, err := a.firstRoot(ctx, u, max(a.MinRoot, d.marks.MinRoot))`, `	if u.Fetch != nil {
		first, version, err := a.firstRoot(ctx, u, max(a.MinRoot, d.marks.MinRoot))`, []string{"client.TestHiddenRoot", "attack.TestHiddenRoot"}, nil},
		{"hidden root", "client/store.go", `roots = append(roots, file)`, `rest = rest[:len(rest):len(rest)]`, []string{"client.TestHiddenRoot", "attack.TestHiddenRoot"}, nil},
		{"fast-forward", "client/updater.go", `if rotated(before, x.trusted.Root()) && len(x.gone) == 0 {`, `if false {`,
			[]string{"conformance.TestOneOfTwoOnlineKeysIsTakenAway", "property.TestDifferencesAreThere"}, nil},
		{"fast-forward", "client/updater.go", `if !slices.Contains(after.Signed.Roles[role].KeyIDs, id) {`, `if len(after.Signed.Roles[role].KeyIDs) == 0 && id == "" {`,
			[]string{"property.TestDifferencesAreThere"}, nil},

		{"freeze", "tuf/trusted.go", `if expires.After(t.now) {`, `if true {`, []string{"client.TestFreeze", "attack.TestFreeze"}, nil},
		{"freeze", "tuf/trusted.go", `return err // §5.6.5`, `err = nil`, []string{"attack.TestFreeze", "tuf.TestExpiryTellsWhichRoleAndWhen", "tuf.TestUpdateRefuses"}, nil},
		{"freeze", "tuf/trusted.go", `return expired // §5.5.6`, `err = nil`, []string{"tuf.TestExpiryTellsWhichRoleAndWhen", "tuf.TestUpdateRefuses", "client.TestFreeze"}, nil},
		{"freeze", "tuf/trusted.go", `return expired // §5.4.4`, `err = nil`, []string{"tuf.TestExpiryTellsWhichRoleAndWhen", "tuf.TestUpdateRefuses", "client.TestFreeze"}, nil},
		{"freeze", "client/updater.go", `return storedErr // §5.4.4: nothing new, so the old one's expiry decides`, `return nil`,
			[]string{"client.TestFreeze", "attack.TestFreezeByNotModified"}, nil},
		{"freeze", "client/session.go", `return x.trusted.CheckExpiry(s.clock())`, `return nil`, []string{"client.TestExpiryWhileFetching", "attack.TestExpiryWhileAsking"}, nil},
		{"turned-back clock", "client/session.go", `behind > clockTolerance {`, `behind > 1000000*clockTolerance {`, []string{"client.TestClockThatStepsBack", "attack.TestClockSetBack"}, nil},
		{"turned-back clock", "client/session.go", `	if now := s.client.config.Now(); now.Sub(d.marks.Time) > clockGrain {`, `	if now := s.client.config.Now(); false {`,
			[]string{"client.TestClockThatStepsBack", "attack.TestClockSetBack"}, nil},

		{"mix and match", "tuf/trusted.go", `return len(m.Hashes) > 0 && file.VerifyLengthHashes(data) == nil`, `return len(m.Hashes) > 0`,
			[]string{"client.TestMixAndMatch", "attack.TestMixAndMatch"}, nil},
		{"mix and match", "tuf/trusted.go", `	if err := listed.VerifyLengthHashes(data); err != nil {
		return t.refuse(err, role, listed.Version, "TUF §5.6.2")
	}
`, ``, []string{"tuf.TestUpdateRefuses"}, nil},
		{"required voices", "client/require.go", `!slices.Contains(voice.Keys, k.ID())`, `false`, []string{"client.TestVoicesAreKeys", "attack.TestVoicesAgainstStolenTargetsKeys"}, nil},
		{"required voices", "client/require.go", `		i := -1
`, `		i := 0
`, []string{"client.TestVoicesAreKeys", "attack.TestVoicesAgainstStolenTargetsKeys"}, nil},
		{"required voices", "client/require.go", `case listed.Digest != digest:`, `case false:`, []string{"client.TestVoicesMustAllVouch", "attack.TestVoicesForAnotherDigest"}, nil},
		{"required voices", "client/require.go", `if slices.ContainsFunc(spoken, key.Equal) {`, `if false {`, []string{"client.TestVoicesAreKeys"}, nil},
		{"required voices", "client/require.go", `if whose, ok := keys[id]; ok {`, `if whose, ok := keys[id]; ok && false {`, []string{"client.TestVoicesThatCannotBe", "attack.TestOneKeyIsOneVoice"}, nil},
		{"required voices", "tuf/search.go", `		if to.Name != name {
			continue
		}
		named, err`, `		to.Name = name
		named, err`, []string{"client.TestNestedVoice", "client.TestVoicesMustAllVouch", "client.TestVoicesAreKeys"}, nil},
		{"required voices", "client/decide.go", `		d.Voices, err = x.require(ctx, image.Repository, image.Tag, d.Digest)`, `		err = nil`, []string{"client.TestVoicesMustAllVouch", "attack.TestVoicesForAnotherDigest"}, nil},
		{"required voices", "client/decide.go", `	d.Voices, err = x.require(ctx, image.Repository, image.Tag, image.Digest)`, `	err = nil`, []string{"client.TestVoicesMustAllVouch", "attack.TestVoicesForAnotherDigest"}, nil},
		{"required voices", "client/decide.go", `if tuf.RuleOf(err) == tuf.RuleVoice {`, `if err = nil; false {`, []string{"client.TestVoicesMustAllVouch", "attack.TestVoicesForAnotherDigest"}, nil},
		{"wrong software", "client/first.go", `	if name == repository ||`, `	if true ||`, []string{"client.TestOtherRepository", "attack.TestSharedKeys"}, nil},
		{"wrong software", "client/updater.go", `		if x.u.checkRoot != nil {
			if err := x.u.checkRoot(x.trusted.Root()); err != nil {
				return err
			}
		}
`, ``, []string{"attack.TestSharedKeys"}, nil},
		{"wrong software", "client/decide.go", `if tag != nil && tag.Target.Digest == image.Digest {`, `if tag != nil {`, []string{"attack.TestOtherDigest"}, nil},
		{"wrong software", "client/decide.go", `case record != nil && record.Target.Digest == image.Digest:`, `case record != nil:`, []string{"client.TestRecordOfAnotherDigest"}, nil},
		{"wrong software", "client/decide.go", `if len(d.Tags) == 0 {`, `if false {`, []string{"attack.TestOtherDigest"}, nil},
		{"wrong software", "tuf/name.go", `func TagPath(repository, tag string) string { return repository + ":" + tag }`, `func TagPath(_, tag string) string { return "registry.example/any:" + tag }`,
			[]string{"tuf.TestPathsRoundTrip", "attack.TestSharedKeys"}, nil},

		{"hostile parser input", "tuf/trusted.go", `	if err := checkShape(data, kind, limits); err != nil {
		return nil, err
	}
	if md`, `	if md`, []string{"attack.TestHostileParserInput"}, nil},
		{"hostile parser input", "tuf/shape.go", `if depth > w.limits.Depth {`, `if false {`, []string{"tuf.TestShapeRefuses", "attack.TestHostileParserInput"}, nil},
		{"hostile parser input", "tuf/shape.go", `if !seen.add(name) {`, `if seen.add(name); false {`, []string{"tuf.TestShapeRefuses"}, nil},
		{"hostile parser input", "tuf/shape.go", `if w.free > 0 && name != "custom" {`, `if true {`, []string{"tuf.TestShapeRefuses"}, nil},
		{"hostile parser input", "client/updater.go", `		b.WriteByte('%')
`, `		b.WriteByte(c)
`, []string{"attack.TestHostileRoleNames", "conformance.TestUnusualRoleNames"}, nil},
		{"swapped delegation", "tuf/search.go", `	if !t.edges[at] {
		if err := load(at.role, at.delegator); err != nil {`, `	if t.set.Targets[at.role] == nil {
		if err := load(at.role, at.delegator); err != nil {`, []string{"tuf.TestRoleWithTwoDelegatorsIsVerifiedUnderEach", "conformance.TestKeptRoleIsVerifiedAgainstTheCurrentDelegator"}, nil},
		{"delegation out of its patterns", "tuf/search.go", `		if Delegated(role, p) {
			roles`, `		if true {
			roles`, []string{"attack.TestDelegationsOutsideTheirPatterns", "attack.TestStolenSignerKey"}, nil},
		{"delegation out of its patterns", "tuf/search.go", `if tag, digest, ok := strings.Cut(p, "@"); ok && CheckDigest(digest) == nil {`, `if tag, digest, ok := strings.Cut(p, "@"); ok && digest == "" {`,
			[]string{"attack.TestWildcardsEndWhereATagEnds"}, nil},
		{"delegation out of its patterns", "tuf/search.go", `if len(patterns) != len(components) {`, `if false {`, []string{"tuf.TestDelegatedPaths", "attack.TestDelegationsOutsideTheirPatterns"}, nil},

		{"removed signer replayed", "tuf/search.go", `	names, ok := delegateNames(role.Signed.Delegations)`, `	names, ok := []string{"ci"}, true`, []string{"tuf.TestWalk"}, nil},
		{"removed signer replayed", "tuf/trusted.go", `		err = t.set.Targets[delegator].VerifyDelegate(role, targets)`, `		err = nil`, []string{"attack.TestRemovedSignerReplayed", "attack.TestStolenSignerKeysAtAThreshold"}, nil},
		{"key compromise", "tuf/trusted.go", `		err = t.set.Root.VerifyDelegate(role, targets)`, `		err = nil`, []string{"attack.TestStolenTargetsKeys", "attack.TestStolenRootKeys"}, nil},
		{"key compromise", "client/updater.go", `		if err := x.trusted.UpdateRoot(fetched.Bytes); err != nil {
			return err
		}`, `		if err := x.trusted.UpdateRoot(fetched.Bytes); err != nil {
			return nil
		}`, []string{"attack.TestStolenRootKeys"}, nil},
		{"tampered content", "client/decide.go", `	d.Reference = image.Repository + "@" + d.Digest`, `	d.Reference = image.Repository + ":" + d.Tag`, []string{"attack.TestTamperedContent"}, nil},

		{"cache that was tampered with", "client/store.go", `		if t, err := u.trust(data); err == nil {
			return t, nil
		}
	}
	for`, `		return u.trust(data)
	}
	for`, []string{"client.TestDamagedRootKeepsTheChain"}, nil},
		{"cache that was tampered with", "client/updater.go", `stored = nil // damaged, or signed by keys that do not count any more`, `return storedErr`, []string{"client.TestDamagedStateHeals"}, nil},
		{"state that cannot be kept", "client/session.go", `return errors.Join(err, &stateError{saved})`, `return err`, []string{"client.TestStateThatCannotBeWritten"}, nil},
	}
}

// network takes away the bounds on what a server or a mirror costs.
func network() []mutation {
	return []mutation{
		{"endless data, slow peer", "client/fetch.go", `return io.ReadAll(io.LimitReader(response.Body, max+1))`, `return io.ReadAll(io.LimitReader(response.Body, 1<<30))`,
			[]string{"client.TestEndlessData", "attack.TestEndlessData"}, nil},
		{"endless data, slow peer", "client/fetch.go", `ctx, cancel := context.WithTimeout(ctx, allowed)`, `ctx, cancel := context.WithTimeout(ctx, 100*allowed)`,
			[]string{"client.TestSlowServer"}, nil},
		{"endless data, slow peer", "client/fetch.go", `encoding != "" && encoding != "identity" {`, `false {`, []string{"client.TestCompression"}, nil},
		{"endless data, slow peer", "client/updater.go", `		limit = meta.Length
`, ``, []string{"client.TestFalseLength", "attack.TestFalseLength"}, nil},
		{"malicious mirror", "client/session.go", `if err == nil || final(err) || ctx.Err() != nil {`, `if true {`, []string{"client.TestMirrors", "attack.TestMirrors"}, nil},
		{"moved registry tag", "cmd/signet/verify.go", `if served != decision.Digest {`, `if false {`, []string{"attack.TestTamperedContent"}, nil},
	}
}
