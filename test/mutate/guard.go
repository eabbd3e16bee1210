package main

// gates take away what keeps a gate from saying yes where it should not, and from
// turning people away.
func gates() []mutation {
	const pass, hosts, gap = "gate gone around", "hosts.toml gone around", "gate's restart"
	const word, busy = "policy taken back", "gate kept busy"
	return []mutation{
		{pass, "guard/door/decide.go", `	case decision == nil || decision.Policy == nil || !decision.Policy.Allowed:`, `	case decision == nil || decision.Policy == nil:`, []string{"guard.TestNoClearAnswerIsARefusal"}, nil},
		{pass, "guard/door/decide.go", `		return Refused(q, decision, err), err
	case decision == nil`, `		return decision, err
	case decision == nil`, []string{"guard.TestNoClearAnswerIsARefusal"}, nil},
		{pass, "guard/gate.go", `if trouble := recover(); trouble != nil {`, `if trouble := recover(); false {`, []string{"guard.TestNoClearAnswerIsARefusal"}, nil},
		{pass, "guard/door/offered.go", `!decision.Trusted || decision.Current {`, `!decision.Trusted || true {`, []string{"guard.TestOffered"}, nil},
		{pass, "guard/door/offered.go", `	d.Trusted, d.Reference = false, ""`, `	d.Reference = ""`, []string{"guard.TestOffered"}, nil},
		{pass, "guard/door/offered.go", `	image.Digest = q.Offered`, ``, []string{"guard.TestOffered"}, nil},
		{pass, "guard/remote.go", `	case !d.Policy.Allowed:`, `	case false:`, []string{"guard.TestRemote"}, nil},
		{pass, "guard/remote.go", `	case q.Offered != "" && d.Trusted && d.Digest != q.Offered:`, `	case false:`, []string{"guard.TestRemote"}, nil},
		{pass, "guard/remote.go", `return http.ErrUseLastResponse`, `return nil`, []string{"guard.TestRemote"}, nil},
		{pass, "guard/door.go", `&& !door.Certified(r) && !door.UnixSocket(r) {`, `&& false {`, []string{"guard.TestCertificates"}, nil},
		{pass, "guard/decide.go", `		w.WriteHeader(http.StatusForbidden)`, `		w.WriteHeader(http.StatusOK)`, []string{"guard.TestDecideDoor"}, nil},
		{pass, "guard/gate.go", `		if err == nil || tuf.IsRefusal(err) {`, `		if decision != nil || tuf.IsRefusal(err) {`, []string{"guard.TestRecall"}, nil},
		{pass, "guard/door/decide.go", `	case q.Pinned && decision.Trusted`, `	case false && decision.Trusted`, []string{"guard.TestPinned"}, nil},
		{busy, "guard/lines.go", `	if room := maxWaiting - len(l.waiting); len(lines) > room {`, `	if room := maxWaiting; len(lines) > 8*room {`, []string{"guard.TestNobodyWaitsForTheLog"}, nil},
		{busy, "cmd/signet-guard/state.go", `			if time.Since(c.last.began) < stateEvery {`, `			if false {`, []string{"signet-guard.TestStateIsTriedSeldom"}, nil},
		{busy, "cmd/signet-guard/state.go", `			return c.last
		}
	}`, `		}
	}`, []string{"signet-guard.TestStateOnAHungDisk"}, nil},
		{busy, "guard/gate.go", `		if ctx.Err() != nil {`, `		if false {`, []string{"guard.TestRecallHasAnEnd"}, nil},
		{pass, "guard/gate.go", `	q.Held = false`, `	_ = q.Held`, []string{"guard.TestAskIsAnswered"}, nil},
		{pass, "guard/door/clean.go", `if !unicode.IsPrint(r) || r == unicode.ReplacementChar {`, `if (!unicode.IsPrint(r) || r == unicode.ReplacementChar) && false {`, []string{"guard.TestTheLogIsOneLine"}, nil},
		{pass, "cmd/signet-guard/tls.go", `		fresh.ClientCAs = clients.current(false)`, `		fresh.ClientCAs = nil`, []string{"signet-guard.TestClientAuthorities"}, nil},
		{pass, "cmd/signet-guard/policy.go", `	case l.current == nil || ctx.Err() != nil:`, `	case true:`, []string{"signet-guard.TestHangup"}, nil},

		{hosts, "guard/containerd/answer.go", `const statusRefused = http.StatusMultipleChoices`, `const statusRefused = http.StatusForbidden`, []string{"containerd.TestDoor"}, nil},
		{hosts, "guard/containerd/door.go", `	case !decision.Trusted:`, `	case false:`, []string{"containerd.TestDoor"}, nil},
		{hosts, "guard/containerd/door.go", `if err := tuf.CheckRepository(image.Repository); err != nil {`, `if err := tuf.CheckRepository(image.Repository); false {`, []string{"containerd.TestDoor"}, nil},
		{hosts, "guard/containerd/door.go", `	if len(values["ns"]) != 1 || values["ns"][0] == "" {`, `	if len(values["ns"]) < 1 || values["ns"][0] == "" {`, []string{"containerd.TestDoor"}, nil},
		{hosts, "guard/containerd/answer.go", `if !unicode.IsPrint(r) || r == unicode.ReplacementChar {`, `if (!unicode.IsPrint(r) || r == unicode.ReplacementChar) && false {`, []string{"containerd.TestDoor"}, nil},
		{hosts, "guard/containerd/plugin.go", `	if descriptor.Digest != digest {`, `	if false {`, []string{"containerd.TestPlugin"}, nil},
		{hosts, "guard/containerd/plugin.go", `	case decision.Trusted && decision.Digest != digest:`, `	case false:`, []string{"containerd.TestPlugin"}, nil},

		{word, "cmd/signet-guard/policy.go", `gone != nil && ctx.Err() == nil {`, `gone != nil && false {`, []string{"signet-guard.TestSignedPolicyHoldsAsLongAsItsWord"}, nil},
		{word, "cmd/signet-guard/policy.go", `		l.rules.Store(nil)`, ``, []string{"signet-guard.TestSignedPolicyHoldsAsLongAsItsWord"}, nil},
		{word, "cmd/signet-guard/policy.go", `, l.expired():`, `:`, []string{"signet-guard.TestSignedPolicyHoldsAsLongAsItsWord"}, nil},
		{word, "cmd/signet-guard/policy.go", `	if p.loader.expired() {`, `	if false {`, []string{"signet-guard.TestSignedPolicyExpiresAtOnce"}, nil},
		{word, "cmd/signet-guard/policy.go", `rules != nil && !l.expired() {`, `rules != nil {`, []string{"signet-guard.TestSignedPolicyExpiresAtOnce"}, nil},
		{word, "guard/gate.go", `	g.decider.Store(nil)`, ``, []string{"signet-guard.TestSignedPolicyHoldsAsLongAsItsWord"}, nil},

		{busy, "internal/limit/places.go", `make(chan struct{}, Share(cap(p.all)))`, `make(chan struct{}, cap(p.all))`, []string{"guard.TestOneAddressCannotTakeEveryPlace"}, nil},
		{busy, "internal/limit/places.go", `	if o.users >= waiting*cap(o.places) {`, `	if false {`, []string{"limit.TestCrowd"}, nil},
		{busy, "guard/door.go", `[]*limit.Places{e.large, e.work}`, `[]*limit.Places{e.work}`, []string{"guard.TestLargeBodiesAreFewAtOnce"}, nil},
		{busy, "guard/kubernetes/json.go", `s.values > maxValues {`, `false {`, []string{"kubernetes.TestBodiesThatAreNotTaken"}, nil},
		{busy, "guard/containerd/answer.go", `	_ = conn.SetDeadline(time.Now().Add(answerWithin))`, `	_ = answerWithin * time.Second`, []string{"containerd.TestRefusalThatNobodyReads"}, nil},
		{busy, "cmd/signet-guard/serve.go", `limit.Listener(l, o.maxConnections))`, `l)`, []string{"signet-guard.TestConnectionsAreBounded"}, nil},
		{busy, "cmd/signet-guard/serve.go", `	signal.Ignore(syscall.SIGPIPE)`, ``, []string{"signet-guard.TestLogThatNobodyReads"}, nil},
		{busy, "guard/lines.go", `	if l.torn {`, `	if false {`, []string{"guard.TestFullDisk"}, nil},

		{gap, "cmd/signet-guard/drain.go", `		closed.Go(func() { settled[i] = s.settle(wait) })`, `		closed.Go(func() { _, settled[i] = s, nil })`, []string{"signet-guard.TestRestartWithoutAGap"}, nil},
	}
}
