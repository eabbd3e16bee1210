package main

// publisher takes away what keeps a publisher from a hostile server.
func publisher() []mutation {
	return []mutation{
		{"hostile server, to a publisher", "client/publish.go", `if err := online.Verify(p.Server.Identity, repository, online.Role); err != nil {`, `if false {
			var err error`, []string{"client.TestOnlineKeysOfAnotherSigner", "attack.TestOnlineKeysSwappedAtInit"}, nil},
		{"hostile server, to a publisher", "tuf/onlinekey.go", `if k.Repository != repository || k.Role != role {`, `if false {`,
			[]string{"attack.TestOnlineKeysSwappedAtInit"}, nil},
	}
}

// servers take away what the metadata server refuses.
func servers() []mutation {
	return []mutation{
		{"foreign publisher", "tuf/publish.go", `if file.Version != stored+1 {`, `if file.Version <= stored {`, []string{"tuf.TestPublishRefuses", "property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `		if err := VerifyRoot(old, p.root); err != nil {
			return t.refuse`, `		if err := VerifyRoot(old, p.root); false {
			return t.refuse`, []string{"tuf.TestPublishRefuses", "property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `	if err := VerifyRoot(p.root, p.root); err != nil && !p.proposed {`, `	if err := VerifyRoot(p.root, p.root); false {`, []string{"property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `		return t.refuse(err, role, version, "TUF §5.6.3")`, `		_, err = t, nil`, []string{"tuf.TestPublishRefuses", "property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `if !Delegated(delegation, path) {`, `if false {`, []string{"tuf.TestPublishRefuses"}, nil},
		{"foreign publisher", "tuf/publish.go", `if furthest := p.rules.Now.Add(p.rules.maxLife(role)); expires.After(furthest) {`, `if furthest := p.rules.Now; false {`,
			[]string{"tuf.TestPublishRefuses", "property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `	if !expires.After(p.rules.Now) {`, `	if false {`, []string{"property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `if !bytes.Equal(again, file.Bytes) {`, `if !bytes.Equal(again, again) {`, []string{"property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `case file.Role == RoleSnapshot || file.Role == RoleTimestamp:`, `case false:`, []string{"property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `if name := RepositoryOf(p.root); name != p.repository {`, `if name := RepositoryOf(p.root); false {`, []string{"property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `if own, err := NewKey(key.Public()); err != nil || own.ID() != id {`, `if own, err := NewKey(key.Public()); own == nil && err == nil {`, []string{"tuf.TestPublishRefuses"}, nil},
		{"foreign publisher", "tuf/publish.go", `if threshold < 1 || threshold > len(ids) {`, `if false {`, []string{"property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/publish.go", `if !slices.ContainsFunc(p.rules.Online[role], func(k *Key) bool { return k.ID() == id }) {`, `if false {`,
			[]string{"property.TestEachAbuse", "server.TestForeignOnlineKeyIsRefused"}, nil},
		{"foreign publisher", "tuf/publish_result.go", `return k.ID() == s.KeyID && k.Verify(payload, s.Signature) == nil`, `return payload != nil`, []string{"property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/targets.go", `		if image.Repository != repository {
			return refuse(RulePath`, `		if false {
			return refuse(RulePath`, []string{"property.TestEachAbuse"}, nil},
		{"foreign publisher", "tuf/targets.go", `image.Digest != "" && image.Digest != digest {`, `digest == "" {`, []string{"property.TestEachAbuse"}, nil},
		{"wrong software", "tuf/publish.go", `if len(p.rules.RootKeys) > 0 && !slices.Contains(p.rules.RootKeys, id) {`, `if false {`, []string{"server.TestRootKeysByRule"}, nil},

		{"two publishers at once", "server/store/publish.go", `	if err == nil && n == 0 {
		return fmt.Errorf("generation %d`, `	if err == nil && n < 0 {
		return fmt.Errorf("generation %d`, []string{"store.TestSQLite"}, nil},
		{"two publishers at once", "server/store/publish.go", `		if stored != sum {`, `		if false {`, []string{"store.TestSQLite"}, nil},
		{"crash", "server/store/publish.go", `	if err != nil {
		return 0, err
	}
	return p.Base + 1, nil`, `	return p.Base + 1, nil`, []string{"store.TestSQLite", "store.TestSQLiteFull"}, nil},
		{"stolen token", "server/auth.go", `	if !covers(token, repository) {`, `	if false {`, []string{"server.TestTokens"}, nil},
		{"stolen token", "server/auth.go", `return has == api.ScopeAdmin ||`, `return true ||`, []string{"server.TestTokens", "server.TestCreateTakesAScopeOfItsOwn"}, nil},
		{"stolen token", "server/token.go", `	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])`, `	_ = sha256.Sum256
	return hex.EncodeToString([]byte(secret))`, []string{"server.TestLogsHaveNoSecrets", "server.TestTokens", "signet-server.TestTokenCommands"}, nil},
		{"secrets in logs", "server/handle.go", `attrs = append(attrs, slog.String("token", w.token)) // its ID`, `attrs = append(attrs, slog.String("token", r.Header.Get("Authorization")))`,
			[]string{"server.TestLogsHaveNoSecrets"}, nil},
		{"names", "server/names.go", `			return "", fmt.Errorf("%w: byte %d of the path may not stand in a name", tuf.ErrNotFound, i)`, ``, []string{"server.TestNamesThatAreNotNames", "server.FuzzCheckPath"}, nil},
		{"names", "server/names.go", `		return path, checkName(rest[:slash])`, `		return path, nil`, []string{"server.FuzzCheckPath"}, nil},
		{"floods", "server/handle.go", `	r.Body = http.MaxBytesReader(w.ResponseWriter, r.Body, rt.body)
`, ``, []string{"attack.TestEndlessPublish"}, nil},
		{"floods", "server/limit.go", `	if !set.Allow(address) {`, `	if !set.Allow(address) && false {`, []string{"server.TestRatesByAddress"}, nil},
		{"floods", "server/limit.go", `	if !r.tokens.Allow(id) {`, `	if false {`, []string{"server.TestRates"}, nil},
		{"floods", "server/handle.go", `		if err := deadlines(w.ResponseWriter, wait, wait+rt.work+writeWait); err != nil {
			return err
		}
`, ``, []string{"attack.TestUnfinishedPublish"}, nil},
	}
}

// signer takes away what the online-key service refuses.
func signer() []mutation {
	return []mutation{
		{"hostile server, to the signer", "signer/check.go", `		return false, stepBack(repository, file, mark)`, `		return false, nil`, []string{"signer.TestRefusals"}, nil},
		{"hostile server, to the signer", "signer/check.go", `	case file.SHA256() != mark.sha256:`, `	case false:`, []string{"signer.TestRefusals"}, nil},
		{"hostile server, to the signer", "signer/check.go", `	if step == 1 ||`, `	if step >= 1 ||`, []string{"signer.TestRefusals", "signer.TestFirstContact"}, nil},
		{"hostile server, to the signer", "signer/check.go", `		if name := tuf.RepositoryOf(md); name != r.Repository {`, `		if name := tuf.RepositoryOf(md); false {`, []string{"signer.TestRefusals"}, nil},
		{"hostile server, to the signer", "signer/check.go", `			if err := chain.UpdateRoot(data); err != nil {
				return nil, err
			}`, ``, []string{"signer.TestRefusals"}, nil},
		{"hostile server, to the signer", "signer/check.go", `		if !own(id) {`, `		if !own(id) && false {`, []string{"signer.TestRefusals"}, nil},
		{"hostile server, to the signer", "signer/check.go", `		if _, ok := roles[name]; !ok && (name == tuf.RoleTargets || !tuf.IsTopLevel(name)) {`, `		if false {`, []string{"signer.TestRefusals"}, nil},
		{"hostile server, to the signer", "tuf/state.go", `	if err := p.checkRoles(); err != nil {
		return nil, err
	}
`, ``, []string{"signer.TestRefusals"}, nil},
		{"hostile server, to the signer", "signer/schema.sql", `    UNIQUE (repository, role, version)
`, `    CHECK (version > 0)
`, []string{"signer.TestLogTakesAVersionOnce"}, nil},
		{"restored signer", "signer/sign.go", `version := j.known.timestampMark + 1`, `version := j.known.roles[tuf.RoleTimestamp].version + 1`, []string{"signer.TestRestoredSignerSignsNoNumberTwice"}, nil},
		{"stolen signer database", "signer/key.go", `"signet-signer-key", k.repository, k.role, k.public.ID()`, `"signet-signer-key"`,
			[]string{"signer.TestSealedKeysOpenOnlyWhereTheyBelong"}, &edit{`if signer.Key().ID() != k.public.ID() {`, `if false {`}},
		{"stolen signer database", "signer/files.go", `	case openToOthers(info):`, `	case false:`, []string{"signer.TestKeyFile"}, nil},
	}
}

// hardware takes away what keeps the use of a YubiKey seen, and what proves that a key
// is in one.
func hardware() []mutation {
	return []mutation{
		{"use of a key unseen", "keystore/yubikey/key.go", `		t.asker().Notice(k.notice(ctx))
`, ``, []string{"yubikey.TestNoticeComesBeforeTheTouch"}, nil},
		{"PIN in other hands", "keystore/yubikey/card_piv.go", `	if c.shown {`, `	if false {`, []string{"yubikey.TestPINIsForgottenAtTheEnd"}, nil},
		{"PIN in other hands", "keystore/yubikey/session.go", `	if err = twins(found); err == nil {`, `	if err == nil {`, []string{"yubikey.TestTwins"}, nil},
		{"PIN in other hands", "cmd/signet/pins_descriptor_unix.go", `	if err != nil || flags&unix.FD_CLOEXEC != 0 {`, `	if err != nil || flags < 0 {`, []string{"signet.TestDescriptorOfOurOwn"}, nil},
		{"use of a key unseen", "keystore/yubikey/change.go", `	if left, again := t.memory.refusedPUK(puk); again {`, `	if left, again := t.memory.refusedPUK(puk); again && left < 0 {`, []string{"yubikey.TestWrongPUKIsNotTriedAgain"}, nil},
		{"use of a key unseen", "keystore/yubikey/pin.go", `	if left, again := t.memory.refused(pin); again {`, `	if left, again := t.memory.refused(pin); again && left < 0 {`, []string{"yubikey.TestWrongPIN"}, nil},
		{"use of a key unseen", "keystore/yubikey/pin.go", `		m.pin = bytes.Clone(pin)
	}
}

// refuse`, `		m.pin = nil
	}
}

// refuse`, []string{"yubikey.TestOnePINManySignatures"}, nil},

		{"key said to be in hardware", "attestation/check.go", `	if !attested.Equal(key) {`, `	if false {`, []string{"attestation.TestDemandOfRoot"}, nil},
		{"key said to be in hardware", "attestation/check.go", `	if err := device.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature); err != nil {`, `	if err := error(nil); err != nil {`,
			[]string{"attestation.TestDemandOfRoot", "attestation.TestWhatTheLeafSays", "attestation.TestMixedChains"}, nil},
		{"key said to be in hardware", "attestation/check.go", `		return fmt.Errorf("%q is not said to certify keys", clip(device.Subject))`, ``, []string{"attestation.TestAttestedKeyAttestsNothing", "attestation.TestWhatElseYubicoCertifies"}, nil},
		{"key said to be in hardware", "attestation/check.go", `		return fmt.Errorf("%q is not the name of a PIV attestation key", clip(device.Subject))`, ``, []string{"attestation.TestWhatElseYubicoCertifies"}, nil},
		{"key said to be in hardware", "attestation/check.go", `		return fmt.Errorf("%q is not below one of Yubico's authorities for PIV", clip(device.Subject))`, ``, []string{"attestation.TestWhatElseYubicoCertifies"}, nil},
		{"key said to be in hardware", "attestation/demand.go", `	case p.Firmware.Compare(d.MinFirmware) < 0:`, `	case false:`, []string{"attestation.TestDemandOfRoot", "attestation.TestDemandOfPolicies"}, nil},
		{"key said to be in hardware", "attestation/demand.go", `	case d.Touch && p.Touch != always && p.Touch != cached:`, `	case false:`, []string{"attestation.TestDemandOfRoot", "attestation.TestDemandOfPolicies"}, nil},
		{"key said to be in hardware", "attestation/demand.go", `	case d.PIN && p.PIN != always && p.PIN != once:`, `	case false:`, []string{"attestation.TestDemandOfRoot", "attestation.TestDemandOfPolicies"}, nil},
		{"key said to be in hardware", "attestation/demand.go", `	if len(keys.Keys) != listed || listed == 0 {`, `	if false {`, []string{"attestation.TestDemandOfRootThatListsMore"}, nil},
		{"demand for hardware passed by", "client/hardware.go", `	return a.Hardware.Root(repository, root, c.config.Now())`, `	return nil`, []string{"client.TestHardwareRules", "client.TestNewestRootIsDemanded"}, nil},
		{"demand for hardware passed by", "client/hardware.go", `	return a.Hardware.Signer(repository, delegator, role, c.config.Now())`, `	return nil`, []string{"client.TestHardwareOfSigners"}, nil},
		{"keys out of hardware, to a server that demands it", "server/publish.go", `		err = demand(s.rule(repository).Hardware, repository, head, changed, rules.Now)
`, ``, []string{"server.TestHardwareIsDemanded", "server.TestHardwareOfANewRoot"}, nil},
		{"keys out of hardware, to a server that demands it", "server/recover.go", `	return demand(rule.Hardware, repository, head, changed, rules.Now)`, `	_ = changed
	return nil`, []string{"server.TestRecoverKeepsTheDemand"}, nil},
	}
}
