package main

// worst are the protections of the worst day, and of what is carried by hand.
func worst() []mutation {
	return []mutation{
		{"a report on a key", "client/history.go", `key != nil && key.Verify(payload, s.Signature) == nil {`, `key != nil && (key.Verify(payload, s.Signature) == nil || true) {`, []string{"client.TestHistoryOfALiar"}, nil},
		{"a report on a key", "client/history.go", `case past.Version > expected:`, `case past.Version > expected+1_000_000:`, []string{"client.TestHistoryOfALiar"}, nil},
		{"a report on a key", "client/history.go", `	h.compare(cur)
`, `	_ = cur
`, []string{"client.TestHistoryOfALiar"}, nil},
		{"a report on a key", "client/compromise.go", `if !bringing.alone || !bringing.late {`, `if !bringing.late {`, []string{"client.TestCompromised"}, nil},
		{"a report on a key", "client/history.go", `	if past.Proven {
		kept := *past`, `	if past.Version > 0 {
		kept := *past`, []string{"client.TestHistoryGoodFromALiar"}, nil},
		{"a report on a key", "client/history.go", `		h.unpinned = past.Version`, `		_ = past.Version`, []string{"client.TestHistoryOfAnotherBeginning"}, nil},
		{"a report on a key", "client/brought.go", `			c.thief[l.key] = true`, `			c.thief[l.key] = false`, []string{"client.TestThiefLeavesASigner"}, nil},
		{"a report on a key", "client/compromise_signers.go", `		case doubted && g == nil:`, `		case false && doubted && g == nil:`, []string{"client.TestCompromisedSigners"}, nil},
		{"a report on a key", "client/compromise_signers.go", `	if slices.ContainsFunc(is.Keys, func(id string) bool { return !slices.Contains(was.Keys, id) }) {`, `	if true {`, []string{"client.TestCompromisedSigners"}, nil},
		{"a report on a key", "client/compromise_signers.go", `			delete(c.granted, at)
			for at, beside`, `			for at, beside`, []string{"client.TestCompromisedSigners", "client.TestCompromisedLetsIn"}, nil},
		{"a report on a key", "client/compromise_signers.go", `	return g != nil && g.was == nil`, `	return g != nil || true`, []string{"client.TestCompromisedSigners"}, nil},
		{"a report on a key", "client/compromise_withdrawn.go", `	case late && c.alone(past) && good != nil:`, `	case false && late && c.alone(past) && good != nil:`, []string{"client.TestCompromisedWithdraws"}, nil},

		{"a notice of other root keys", "client/session.go", `max(minRoot, d.marks.MinRoot), max(minTargets, d.marks.MinTargets)`, `max(minRoot, 0*d.marks.MinRoot), max(minTargets, 0*d.marks.MinTargets)`, []string{"client.TestRestart"}, nil},
		{"files carried by hand", "client/from.go", `if late > most {`, `if late > most && false {`, []string{"client.TestStale"}, nil},
		{"files carried by hand", "client/session.go", `		if err := s.inDate(x); err != nil {
			return err
		}
`, ``, []string{"client.TestStale"}, nil},

		{"a notice of other root keys", "client/notice.go", `if s.Key == nil || s.Key.Verify(payload, s.Signature) != nil {`, `if s.Key == nil || s.Key.Verify(payload, s.Signature) != nil && false {`, []string{"client.TestNotice"}, nil},
	}
}
