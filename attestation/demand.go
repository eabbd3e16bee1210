package attestation

import (
	"fmt"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Demand says what the keys of a repository have to prove: that they were made
// on a YubiKey, at the least. It stands in a verifier's trust anchor and in a
// server's rules.
type Demand struct {
	// MinFirmware is the oldest firmware that a key may be on; zero for any.
	MinFirmware Version `json:"minFirmware,omitzero" yaml:"min-firmware,omitempty"`
	// Touch demands that each signature takes a touch, or one within 15 seconds.
	Touch bool `json:"touch" yaml:"touch"`
	// PIN demands that the stick wants its PIN: for each signature, or once after
	// it is plugged in. A fingerprint is not taken for one.
	PIN bool `json:"pin" yaml:"pin"`
	// Signers extends the demand from the keys of root and targets to those of
	// delegated roles.
	Signers bool `json:"signers" yaml:"signers"`
	// Roots is the PEM of authorities that are believed beside Yubico's.
	Roots string `json:"roots,omitempty" yaml:"roots,omitempty"`
}

// Check refuses a demand that makes no sense.
func (d *Demand) Check() error {
	for _, n := range []int{d.MinFirmware.Major, d.MinFirmware.Minor, d.MinFirmware.Patch} {
		if n < 0 || n > 255 {
			return fmt.Errorf("firmware %s is no version", d.MinFirmware)
		}
	}
	_, err := d.roots()
	return err
}

func (d *Demand) roots() (*Roots, error) {
	if d.Roots == "" {
		return Yubico(), nil
	}
	return Yubico().With([]byte(d.Roots))
}

// Key checks one key. Its refusal names neither repository nor role.
func (d *Demand) Key(key *tuf.Key, chain []string, now time.Time) (*Proof, error) {
	roots, err := d.roots()
	if err != nil {
		return nil, err
	}
	return d.key(roots, key, chain, now)
}

func (d *Demand) key(roots *Roots, key *tuf.Key, chain []string, now time.Time) (*Proof, error) {
	p, err := roots.Check(key, chain, now)
	if err != nil {
		return nil, err
	}
	switch {
	case p.Firmware.Compare(d.MinFirmware) < 0:
		return nil, refuse(tuf.RuleAttestationFirmware, "it is on YubiKey %d with firmware %s; %s is demanded at the least", p.Serial, p.Firmware, d.MinFirmware)
	case d.Touch && p.Touch != always && p.Touch != cached:
		return nil, refuse(tuf.RuleAttestationPolicy, "slot %s of YubiKey %d has the touch policy %q; %q or %q is demanded", p.Slot, p.Serial, p.Touch, always, cached)
	case d.PIN && p.PIN != always && p.PIN != once:
		return nil, refuse(tuf.RuleAttestationPolicy, "slot %s of YubiKey %d has the PIN policy %q; %q or %q is demanded", p.Slot, p.Serial, p.PIN, always, once)
	}
	return p, nil
}

// Root checks every key that root lists for root and targets, by the attestations
// that travel with root, and returns until when those hold. Whether root is to be
// trusted otherwise is for its caller to know.
func (d *Demand) Root(repository string, root *tuf.Root, now time.Time) (until time.Time, err error) {
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets} {
		listed := 0
		if r := root.Signed.Roles[role]; r != nil {
			listed = len(r.KeyIDs)
		}
		at := tuf.Refusal{Repository: repository, Role: tuf.RoleRoot, Version: root.Signed.Version}
		end, err := d.all(at, role, listed, tuf.RoleKeysOf(root, role), tuf.Attestations(root), now)
		if err != nil {
			return time.Time{}, err
		}
		until = earlier(until, end)
	}
	return until, nil
}

// earlier is the earlier one of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// Signer checks every key that delegator lists for a delegated role, by the
// attestations that travel with delegator's file, and returns until when those hold.
func (d *Demand) Signer(repository string, delegator *tuf.Targets, role string, now time.Time) (until time.Time, err error) {
	keys, ok := tuf.SignerKeysOf(delegator, role)
	at := tuf.Refusal{Repository: repository, Role: role}
	if !ok {
		at.Rule, at.Clause, at.Detail = tuf.RuleNotAttested, clause, "no keys are listed for it"
		return time.Time{}, &at
	}
	return d.all(at, role, listedFor(delegator, role), keys, tuf.TargetsAttestations(delegator), now)
}

// listedFor counts the keys that delegator lists for role, usable or not.
func listedFor(delegator *tuf.Targets, role string) int {
	d := delegator.Signed.Delegations
	for _, r := range d.Roles {
		if r.Name == role {
			return len(r.KeyIDs)
		}
	}
	return len(d.SuccinctRoles.KeyIDs)
}

// all checks the keys of a role, and returns until when all of their attestations
// hold. A refusal is like at, which says where the keys are listed.
func (d *Demand) all(at tuf.Refusal, role string, listed int, keys tuf.RoleKeys, attestations map[string][]string, now time.Time) (until time.Time, err error) {
	roots, err := d.roots()
	if err != nil {
		return until, err
	}
	at.Clause = clause
	if len(keys.Keys) != listed || listed == 0 {
		at.Rule, at.Detail = tuf.RuleNotAttested, fmt.Sprintf("of the %d keys of %s, %d can be used and could be attested", listed, role, len(keys.Keys))
		return time.Time{}, &at
	}
	for _, key := range keys.Keys {
		proof, err := d.key(roots, key, attestations[key.ID()], now)
		if err == nil {
			until = earlier(until, proof.Until)
			continue
		}
		at.Rule, at.Detail = tuf.RuleOf(err), fmt.Sprintf("key %s of %s: %s", key.ID(), role, detail(err))
		return time.Time{}, &at
	}
	return until, nil
}

func detail(err error) string {
	if r, ok := err.(*tuf.Refusal); ok {
		return r.Detail
	}
	return err.Error()
}

// State checks all keys of a repository that the demand is made of, as a server
// does with what a publish would make of it: those of root and targets and, if
// signers are meant, those of every role that can be reached.
func (d *Demand) State(repository string, s *tuf.State, now time.Time) error {
	root, err := tuf.ReadRoot(s.Root.Bytes)
	if err != nil {
		return err
	}
	if _, err := d.Root(repository, root, now); err != nil || !d.Signers {
		return err
	}
	return d.below(repository, s, tuf.RoleTargets, map[string]bool{}, now)
}

func (d *Demand) below(repository string, s *tuf.State, delegator string, visited map[string]bool, now time.Time) error {
	file, ok := s.Roles[delegator]
	if visited[delegator] || !ok {
		return nil
	}
	visited[delegator] = true
	targets, err := tuf.ReadTargets(file.Bytes)
	if err != nil {
		return err
	}
	if targets.Signed.Delegations == nil {
		return nil
	}
	if targets.Signed.Delegations.SuccinctRoles != nil {
		return &tuf.Refusal{Repository: repository, Role: delegator, Rule: tuf.RuleNotAttested, Clause: clause,
			Detail: "it has hash bins, whose keys are not looked at here; name the signers"}
	}
	for _, role := range targets.Signed.Delegations.Roles {
		if _, err := d.Signer(repository, targets, role.Name, now); err != nil {
			return err
		}
		if err := d.below(repository, s, role.Name, visited, now); err != nil {
			return err
		}
	}
	return nil
}
