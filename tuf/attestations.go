package tuf

import "github.com/theupdateframework/go-tuf/v2/metadata"

// Attestations of keys stand as one member of signed root, for the keys of root
// and targets, and of signed targets, for the keys of the signers below. Here they
// are carried; package attestation judges them.

// What the attestation of one key may have at most.
const (
	MaxAttestation      = 8 // certificates
	MaxAttestationBytes = 16 << 10
)

// SetAttestations puts the attestations of keys, by key ID, into signed root, in
// place of those that were there. Those of keys that root does not list are left
// out, so list the keys first.
func SetAttestations(root *Root, attestations map[string][]string) {
	setAttestations(&root.Signed.UnrecognizedFields, root.Signed.Keys, attestations)
}

// Attestations returns what SetAttestations put there: PEM certificates by key
// ID. What has another form is left out. Nothing of it is verified here.
func Attestations(root *Root) map[string][]string {
	return attestationsIn(root.Signed.UnrecognizedFields)
}

// SetTargetsAttestations does for signers' keys, in the file of the role that
// delegates to them, what SetAttestations does in root. Call it, with
// TargetsAttestations of the file itself if nothing else, after each change of its
// delegations: those of keys that no delegation lists any more are left out.
func SetTargetsAttestations(targets *Targets, attestations map[string][]string) {
	setAttestations(&targets.Signed.UnrecognizedFields, signersKeys(targets), attestations)
}

// signersKeys returns all keys that targets lists for delegated roles, by ID.
func signersKeys(targets *Targets) map[string]*metadata.Key {
	if targets.Signed.Delegations == nil {
		return nil
	}
	return targets.Signed.Delegations.Keys
}

// TargetsAttestations returns what SetTargetsAttestations put there.
func TargetsAttestations(targets *Targets) map[string][]string {
	return attestationsIn(targets.Signed.UnrecognizedFields)
}

func setAttestations(members *map[string]any, listed map[string]*metadata.Key, attestations map[string][]string) {
	delete(*members, MemberAttestations)
	member := map[string]any{}
	for id, chain := range attestations {
		if listed[id] == nil || len(chain) == 0 {
			continue
		}
		list := make([]any, len(chain))
		for i, certificate := range chain {
			list[i] = certificate
		}
		member[id] = list
	}
	if len(member) == 0 {
		return
	}
	if *members == nil {
		*members = map[string]any{}
	}
	(*members)[MemberAttestations] = member
}

func attestationsIn(members map[string]any) map[string][]string {
	member, _ := members[MemberAttestations].(map[string]any)
	attestations := map[string][]string{}
	for id, value := range member {
		list, _ := value.([]any)
		for _, certificate := range list {
			s, ok := certificate.(string)
			if !ok {
				delete(attestations, id)
				break
			}
			attestations[id] = append(attestations[id], s)
		}
	}
	return attestations
}

// checkAttestations holds the member of a file that is published to its form: an
// object from the IDs of keys that the file lists to lists of strings. What stands
// there is kept and served for ever, so it is no place for anything else.
func (p *publish) checkAttestations(role string, version int64, members map[string]any, listed map[string]*metadata.Key) error {
	value, ok := members[MemberAttestations]
	if !ok {
		return nil
	}
	chains := attestationsIn(members)
	member, ok := value.(map[string]any)
	if !ok || len(chains) != len(member) {
		return p.refuse(role, version, RuleShape, "Signet profile: attestations", "%s is not an object from key IDs to lists of PEM certificates", MemberAttestations)
	}
	for id, chain := range chains {
		size := 0
		for _, certificate := range chain {
			size += len(certificate)
		}
		if len(chain) > MaxAttestation || size > MaxAttestationBytes {
			return p.refuse(role, version, RuleLimit, "Signet profile: attestations", "the attestation of key %s has %d certificates of %d bytes; at most %d of %d are taken",
				clip(id), len(chain), size, MaxAttestation, MaxAttestationBytes)
		}
		if listed[id] == nil {
			return p.refuse(role, version, RuleKeyID, "Signet profile: attestations", "key %s is attested, but not listed", clip(id))
		}
	}
	return nil
}
