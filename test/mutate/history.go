package main

// history are the protections of what was, when it is read, lost or ended.
func history() []mutation {
	return []mutation{
		{"edited history", "server/history.go", `if _, err := s.require(w, r, repository, api.ScopeRead); err != nil {`, `if false {
		var err error`, []string{"server.TestHistoryTakesAToken"}, nil},
		{"edited history", "server/store/publish.go", `ON CONFLICT (repository, role, version) DO NOTHING`, `ON CONFLICT (repository, role, version) DO UPDATE SET bytes = excluded.bytes, sha256 = excluded.sha256`,
			[]string{"store.TestSQLite"}, nil},

		{"restored database", "server/seen.go", `return listed.Threshold > 0 && n >= listed.Threshold`, `return true`, []string{"server.TestRestoreRefusesForgeries"}, nil},
		{"restored database", "server/seen.go", `case p.lists(file):`, `case true:`, []string{"server.TestRestorePublishesNothing"}, nil},
		{"restored database", "server/seen.go", `return signedByAny(roots[len(roots)-1:], role, signed), nil`, `return true, nil`, []string{"server.TestRestoreAfterAFastForward"}, nil},
		{"stolen token", "server/expiring.go", `page.Next = cursor(page.Roles[limit-1])`, `page.Next = cursor(list[0])`, []string{"server.TestExpiringTellsNoOtherNames"}, nil},
		{"floods", "server/propose.go", `if len(line) > proposalLine {`, `if false {`, []string{"server.TestProposalListIsBounded"}, nil},
		{"stolen token", "server/propose.go", `	case now.Generation != head.Generation:`, `	case now == nil:`, []string{"server.TestOpenProposalsMakeNoRoom"}, nil},
		{"floods", "server/propose.go", `	case open > most:`, `	case false:`, []string{"server.TestProposalsBytesAreBounded"}, nil},
		{"floods", "server/propose.go", `if begins && head.Generation == 0 {`, `if false {`, []string{"server.TestWaitingIsBounded", "server.TestWaitingBytesAreBounded"}, nil},
		{"floods", "server/waiting.go", `	case len(left) >= api.MaxWaiting:`, `	case false:`, []string{"server.TestWaitingIsBounded"}, nil},
		{"floods", "server/waiting.go", `	case open > most:`, `	case false:`, []string{"server.TestWaitingBytesAreBounded"}, nil},
		{"floods", "server/store/proposal.go", `		if p.Turn > 0 {`, `		if false {`, []string{"store.TestSQLite", "server.TestWaitingAtOnce"}, nil},
		{"restored database", "server/restore.go", `above[role] = version + restoreGap`, `above[role] = 0 * version`, []string{"server.TestRestorePutsBack"}, nil},
		{"restored database", "tuf/publish.go", `if file.Version != floor+1 {`, `if file.Version <= stored {`, []string{"server.TestRestoreListsWhatIsLost", "server.TestRetiredNameStartsAbove"}, nil},
		{"restored signer", "signer/retire.go", `timestamp_mark = MAX(timestamp_mark, excluded.timestamp_mark)`, `timestamp_mark = timestamp_mark`, []string{"signer.TestRaise"}, nil},

		{"retired name", "signer/check.go", `mark = max(mark, known.floors[file.Role])`, `mark = max(mark, 0)`, []string{"signer.TestRetireKeepsTheFloor"}, nil},
		{"retired name", "signer/retire.go", `_, err = s.RotateOnlineKeys(ctx, repository)`, `_, err = s.OnlineKeys(ctx, repository)`, []string{"signer.TestRetireKeepsTheFloor"}, nil},
		{"retired name", "server/store/publish.go", "			WHERE version_floor.repository = $1 AND version_floor.role = $2 AND version_floor.version >= $3", "			WHERE version_floor.repository = $1 AND version_floor.role = $2 AND version_floor.version < 0 AND $3 > 0", []string{"store.TestSQLite"}, nil},
	}
}
