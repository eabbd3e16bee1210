package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A rule may demand that keys are on YubiKeys, and prove it by attestations that
// travel with them. What a publish changes has to meet the demand; what was there
// before it stays, so that a new rule is no outage: those repositories go on being
// published to and refreshed, and are told to the operator.

// demand holds what files change to the demand for hardware: a new root, with every
// key of root and targets, and each signer whose keys, threshold or attestations
// are other ones than before. It comes after tuf.CheckPublish.
func demand(d *attestation.Demand, repository string, head *Head, files []tuf.File, now time.Time) error {
	if d == nil {
		return nil
	}
	for _, file := range files {
		if file.Role == tuf.RoleRoot {
			root, err := tuf.ReadRoot(file.Bytes)
			if err != nil {
				return err
			}
			if _, err := d.Root(repository, root, now); err != nil {
				return err
			}
			continue
		}
		if !d.Signers {
			continue
		}
		if err := demandSigners(d, repository, head.State.Roles[file.Role], file, now); err != nil {
			return err
		}
	}
	return nil
}

// demandSigners holds to the demand what a file changes of the signers that it
// delegates to. Hash bins, which have no signers, are not taken at a publish.
func demandSigners(d *attestation.Demand, repository string, old, file tuf.File, now time.Time) error {
	next, err := tuf.ReadTargets(file.Bytes)
	if err != nil || next.Signed.Delegations == nil {
		return err
	}
	before := &tuf.Targets{}
	if len(old.Bytes) > 0 {
		if before, err = tuf.ReadTargets(old.Bytes); err != nil {
			return err
		}
	}
	for _, role := range next.Signed.Delegations.Roles {
		if sameSigner(before, next, role.Name) {
			continue
		}
		if _, err := d.Signer(repository, next, role.Name, now); err != nil {
			return err
		}
	}
	return nil
}

// sameSigner tells whether both files list the same keys for a role, with the same
// threshold and attestations.
func sameSigner(a, b *tuf.Targets, role string) bool {
	x, ok := tuf.SignerKeysOf(a, role)
	y, ok2 := tuf.SignerKeysOf(b, role)
	if !ok || !ok2 || max(x.Threshold, 1) != max(y.Threshold, 1) || !slices.Equal(listed(a, role), listed(b, role)) {
		return false
	}
	proofs, other := tuf.TargetsAttestations(a), tuf.TargetsAttestations(b)
	for _, id := range listed(a, role) {
		if !slices.Equal(proofs[id], other[id]) {
			return false
		}
	}
	return true
}

// listed returns the key IDs that targets lists for a role, in order.
func listed(targets *tuf.Targets, role string) []string {
	if targets.Signed.Delegations == nil {
		return nil
	}
	for _, r := range targets.Signed.Delegations.Roles {
		if r.Name == role {
			return slices.Sorted(slices.Values(r.KeyIDs))
		}
	}
	return nil
}

// auditEvery is how often all repositories are held to the demands. What is
// published is judged then and there; attestations and rules change with time.
const auditEvery = time.Hour

// unmet are the repositories whose keys do not meet the demand, with what is wrong.
type unmet struct {
	mu sync.Mutex
	of map[string]string
}

// note remembers what is wrong with repository, "" for nothing, and tells whether
// that is news.
func (u *unmet) note(repository, what string) (news bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if what == "" {
		delete(u.of, repository)
		return false
	}
	news = u.of[repository] != what
	if u.of == nil {
		u.of = map[string]string{}
	}
	if len(u.of) < maxFailing {
		u.of[repository] = what
	}
	return news
}

func (u *unmet) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.of)
}

// Audit holds all repositories to the demands for hardware, as they are stored. It
// logs those that do not meet theirs, and changes nothing.
func (s *Server) Audit(ctx context.Context) {
	if !slices.ContainsFunc(s.config.Rules, func(r Rule) bool { return r.Hardware != nil }) {
		return
	}
	for after := ""; ctx.Err() == nil; {
		list, err := s.store.Repositories(ctx, after, api.MaxPage)
		if err != nil {
			if ctx.Err() == nil {
				s.log.Error("look for repositories whose keys are not in hardware", "error", err, "cause", cause(err))
			}
			return
		}
		for _, summary := range list {
			after = summary.Repository
			if s.rule(after).Hardware == nil {
				continue
			}
			head, err := s.head(ctx, after)
			if err != nil {
				s.log.Warn("look whether keys are in hardware", "repository", after, "error", err, "cause", cause(err))
				continue
			}
			s.judge(after, &head.State)
		}
		if len(list) < api.MaxPage {
			return
		}
	}
}

// judge notes whether a repository as it is now meets the demand.
func (s *Server) judge(repository string, state *tuf.State) {
	d := s.rule(repository).Hardware
	if d == nil {
		return
	}
	err := d.State(repository, state, s.now())
	if err == nil {
		s.metrics.unmet.note(repository, "")
		return
	}
	if s.metrics.unmet.note(repository, err.Error()) {
		s.log.Warn("a repository's keys do not meet the demand for hardware; what changes them has to", "repository", repository,
			"rule", tuf.RuleOf(err), "error", err)
	}
}

// auditNowAndThen audits now and every hour until ctx ends.
func (s *Server) auditNowAndThen(ctx context.Context) {
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for {
		s.Audit(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
