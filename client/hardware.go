package client

import (
	"slices"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// checkHardware holds the newest root to the anchor's demand for hardware. Roots
// on the way to it need not meet it: those are history, and a repository moves to
// hardware by a new root. It returns until when that holds; zero: there is no demand.
func (a *Anchor) checkHardware(c *Client, repository string, root *tuf.Root) (until time.Time, err error) {
	if a.Hardware == nil {
		return until, nil
	}
	return a.Hardware.Root(repository, root, c.config.Now())
}

// checkSigner does so with the keys of a delegated role, where the demand is made
// of signers too.
func (a *Anchor) checkSigner(c *Client, repository string, delegator *tuf.Targets, role string) (until time.Time, err error) {
	if a.Hardware == nil || !a.Hardware.Signers {
		return until, nil
	}
	return a.Hardware.Signer(repository, delegator, role, c.config.Now())
}

// demand makes an updater check the anchor's demand for hardware, before anything
// that the keys in question signed counts for an answer.
func (s *session) demand(u *Updater) {
	u.checkNewest = func(root *tuf.Root) (time.Time, error) {
		until, err := s.anchor.checkHardware(s.client, s.repository, root)
		return until, s.judge(err)
	}
	u.checkSigner = func(delegator *tuf.Targets, role string) (time.Time, error) {
		until, err := s.anchor.checkSigner(s.client, s.repository, delegator, role)
		return until, s.judge(err)
	}
}

// judge passes on what came of a demand, or only notes it for a publisher, who is
// the one to mend it.
func (s *session) judge(err error) error {
	if err == nil || s.lacking == nil || !tuf.IsRefusal(err) {
		return err
	}
	*s.lacking = append(*s.lacking, hardwareWarning(err))
	return nil
}

func hardwareWarning(err error) string {
	return "the trust anchor that is set here demands hardware, and refuses this: " + err.Error()
}

// hardwareWarnings adds to warnings what the anchor's demand for hardware will
// refuse of a draft, once it is published, and what is not said already.
func (d *Prepared) hardwareWarnings(warnings []string, draft *draft) []string {
	anchor, c := d.step.anchor, d.publisher.Client
	add := func(_ time.Time, err error) {
		if err != nil && !slices.Contains(warnings, hardwareWarning(err)) {
			warnings = append(warnings, hardwareWarning(err))
		}
	}
	if draft.root != nil {
		add(anchor.checkHardware(c, d.Repository, draft.root))
	}
	if draft.targets != nil && draft.targets.Signed.Delegations != nil {
		for _, role := range draft.targets.Signed.Delegations.Roles {
			add(anchor.checkSigner(c, d.Repository, draft.targets, role.Name))
		}
	}
	return warnings
}
