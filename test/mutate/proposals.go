package main

// proposals takes away what protects people who sign apart.
func proposals() []mutation {
	lies := []string{"client.TestLyingProposals", "attack.TestProposalsOnAHostileServer"}
	return []mutation{
		{"lying proposal", "client/proposal.go", `if is != id || is != p.ID {`, `if false {`, lies, nil},
		{"lying proposal", "client/proposal_check.go", `if payload, err := d.encodePayload(); err != nil || !bytes.Equal(payload, same.payload) {`, `if false {`, lies, nil},
		{"lying proposal", "client/proposal_check.go", `if len(file.UnrecognizedFields) > 0 || !plainCustom(file.Custom) {`, `if false {`, []string{"client.TestLyingProposals"}, nil},
		{"lying proposal", "client/proposal_check.go", `if key.ID() == s.KeyID && key.Verify(d.payload, s.Signature) == nil {`, `if key.ID() == s.KeyID {`, []string{"client.TestLyingProposals"}, nil},
		{"lying proposal", "client/proposal_check.go", `if !key.Equal(online[role]) {`, `if false && !key.Equal(online[role]) {`, []string{"client.TestProposeInit"}, nil},
		{"lying proposal", "client/proposal.go", `if !has[signature] {`, `if false && !has[signature] {`, lies, nil},
		{"lying proposal", "client/proposal_review.go", `		if d.version() > is+1 {`, `		if false {`, []string{"client.TestApproveOffline"}, nil},
		{"lying proposal", "client/proposal_review.go", `superseded = superseded && (here || is > d.version())`, `superseded = true`, []string{"client.TestPublishedBefore"}, nil},

		{"two contents for one version", "client/journal.go", `signs && before != nil && taken && !same && !again {`, `false && signs && before != nil && taken && !same && !again {`,
			[]string{"client.TestJournal", "client.TestJournalAmongProcesses"}, nil},
		{"two contents for one version", "client/journal.go", `	case taken && !again:
		return e`, `	case taken && !again && false:
		return e`, []string{"client.TestSignTwice", "client.TestWithdrawn"}, nil},
		{"two contents for one version", "client/proposal_approve.go", `	if err := p.note(ctx, r.Proposal.Repository, ActApprove, r.drafts); err != nil {`, `	if false {
		var err error`, []string{"client.TestApprovalIsNoted"}, nil},
		{"two contents for one version", "client/proposal.go", `	if err := d.publisher.note(ctx, d.Repository, ActPropose, d.drafts); err != nil {`, `	if false {
		var err error`, []string{"client.TestWithdrawn", "attack.TestProposalsOnAHostileServer"}, nil},
	}
}
