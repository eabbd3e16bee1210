package main

// longLived are what a verifier that lives on, and a look at files and nodes, promise.
func longLived() []mutation {
	const fresh, whole, off = "freshness of long-lived verifiers", "files are checked whole", "enforcement silently off"
	return []mutation{
		{fresh, "client/watch_update.go", `		h.clock.at = h.checked.Round(0)`, `		h.clock.at = h.checked`, []string{"client.TestWatcherSeesTheWallClockGoBack"}, nil},
		{fresh, "client/watch_update.go", `later(began.Round(0), d.marks.Time)`, `later(began, d.marks.Time)`, []string{"client.TestWatcherSeesTheWallClockGoBack"}, nil},
		{fresh, "client/watch_update.go", `maxRoot, ""); !errors.Is(err, tuf.ErrNotFound) {`, `maxRoot, ""); false && err != nil {`, []string{"client.TestWatcherRefreshesAhead"}, nil},
		{fresh, "client/watch_update.go", ` || !fetched.NotModified && digestHex(fetched.Bytes) != h.confirm.timestamp`, ` || !fetched.NotModified && len(fetched.Bytes) == 0`, []string{"client.TestWatcherRefreshesAhead"}, nil},
		{fresh, "client/watch_held.go", `bool { return a.first.Expires.After(now) }`, `bool { return true || a.first.Expires.After(now) }`, []string{"client.TestWatcherJudgesEveryExpiry"}, nil},
		{fresh, "client/watch_held.go", ` && within(h.checked, now, most)`, ` && most > 0`, []string{"client.TestWatcherAnswersFromMemory"}, nil},
		{fresh, "client/session.go", `if err := s.judge(outlived(s.repository, x.allowed, now)); err != nil {`, `if err := s.judge(nil); err != nil {`, []string{"client.TestAttestationThatEndsWhileFetching"}, nil},
		{fresh, "client/watch_held.go", `	if !x.allowed.IsZero() {`, `	if false {`, []string{"client.TestWatcherJudgesAttestations"}, nil},
		{fresh, "client/updater.go", `		until, err := x.u.checkSigner(parent, role)`, `		_, err := x.u.checkSigner(parent, role); until := x.allowed`, []string{"client.TestWatcherJudgesAttestations"}, nil},
		{fresh, "attestation/check.go", `		if cert.NotAfter.Before(end) {`, `		if false {`, []string{"attestation.TestUntil"}, nil},
		{fresh, "client/watch.go", `	if e != nil && !options.Offline {`, `	if e != nil {`, []string{"client.TestHeld"}, nil},
		{fresh, "client/session.go", `	case options.Held:`, `	case options.Held && options.From == "" && !options.Offline:`, []string{"client.TestAClientHoldsNothing"}, nil},
		{fresh, "client/watch.go", `	if f != nil && tuf.IsRefusal(f.err) {`, `	if f != nil && tuf.IsRefusal(f.err) && false {`, []string{"client.TestWatcherRefusesWhatARefreshRefused"}, nil},
		{fresh, "client/watch_entries.go", `	key := watchKey{repository, id}`, `	_ = id
	key := watchKey{repository: repository}`, []string{"client.TestWatcherKeepsAnchorsApart"}, nil},
		{fresh, "client/watch_entries.go", `	if e.held.Load() != nil {
		return false`, `	if e.held.Load() != nil || e.failure.Load() == nil {
		return false`, []string{"client.TestWatcherAbandoned"}, nil},
		{fresh, "client/watch_flight.go", `			if f.abandoned() {`, `			if f.abandoned() && false {`, []string{"client.TestWatcherAbandoned"}, nil},
		{fresh, "client/watch_flight.go", `			err = fmt.Errorf("%s: could not find out: verifying broke off: %v", f.e.repository, trouble)`, `			_ = trouble`, []string{"client.TestWatcherPanic"}, nil},

		{"arbitrary software", "client/first.go", `	if err := a.checkPins(); err != nil { //`, `	if err := a.checkPins(); err != nil && false { //`, []string{"client.TestAnchorsThatPinNothing"}, nil},

		{whole, "imagefile/file.go", `	case len(f.Uses) == 0:`, `	case false:`, []string{"imagefile.TestNothingCheckedIsAnError"}, nil},
		{whole, "imagefile/kubernetes.go", `checkSeparators(data); err != nil {`, `checkSeparators(data); err != nil && false {`, []string{"imagefile.TestNothingEscapes"}, nil},
		{whole, "imagefile/kubernetes.go", `				if ahead[key] {`, `				if ahead[key] && false {`, []string{"imagefile.TestNothingEscapes"}, nil},
		{whole, "imagefile/kubernetes.go", `items != nil && (isList || items.Kind == yaml.SequenceNode) {`, `items != nil && isList {`, []string{"imagefile.TestNothingEscapes"}, nil},
		{whole, "imagefile/kubernetes.go", `lower == "images" || `, ``, []string{"imagefile.TestNothingEscapes"}, nil},
		{whole, "imagefile/yaml.go", `	case !isText(n):`, `	case false:`, []string{"imagefile.TestNothingEscapes"}, nil},
		{whole, "imagefile/compose.go", `built = image == nil || policy != nil && policy.Value == "build"`, `built = image == nil || policy != nil || true`, []string{"imagefile.TestNothingEscapes"}, nil},
		{whole, "imagefile/compose.go", `	if strings.Contains(u.Value, "$") {`, `	if false {`, []string{"imagefile.TestRead"}, nil},
		{whole, "imagefile/dockerfile.go", `				delete(d.args, arg.Key)`, `				_ = arg.Key`, []string{"imagefile.TestNothingEscapes"}, nil},
		{whole, "imagefile/dockerfile.go", `	case len(unset) > 0:`, `	case false:`, []string{"imagefile.TestRead"}, nil},
		{whole, "cmd/signet/verify_files.go", `	case !bytes.Equal(now, file.Bytes()) && !bytes.Equal(now, pinned):`, `	case len(now) == 0:`, []string{"signet.TestPinKeepsOthersWork"}, nil},

		{off, "nodecheck/hosts.go", `path := filepath.Join(root, name); exists(path) {`, `path := filepath.Join(root, name); exists(filepath.Join(path, "hosts.toml")) {`, []string{"nodecheck.TestHosts"}, nil},
		{off, "nodecheck/hosts.go", `	case unlike != nil:`, `	case false:`, []string{"nodecheck.TestHosts"}, nil},
		{off, "nodecheck/hosts.go", `	case unlike != nil && !final:`, `	case false:`, []string{"nodecheck.TestProbeProvesNoMoreThanItIs"}, nil},
		{off, "nodecheck/hosts.go", `	proven := final && !forWantOfARule(reason)`, `	proven := final`, []string{"nodecheck.TestProbeProvesNoMoreThanItIs"}, nil},
		{off, "nodecheck/verifiers.go", `		case forWantOfARule(said):`, `		case false:`, []string{"nodecheck.TestProbesAtTheOtherDoors"}, nil},
		{off, "nodecheck/hosts.go", `	case on && unset && s.whole && cri != nil:`, `	case false:`, []string{"nodecheck.TestConfigPath"}, nil},
		{off, "nodecheck/hosts.go", `	case on && list && s.byTransfer():`, `	case false:`, []string{"nodecheck.TestConfigPath"}, nil},
		{off, "nodecheck/verifiers.go", `	if !said {`, `	if !said || dir == "" {`, []string{"nodecheck.TestVerifiersWithoutAFolder"}, nil},
		{off, "nodecheck/verifiers.go", `	case !s.whole: //`, `	case false: //`, []string{"nodecheck.TestSettingsThatAreNotKnown"}, nil},
	}
}
