// Package attestation decides whether a key was made on a YubiKey, and under
// which policies it is used there. It does no I/O: certificates and a time go in,
// a verdict comes out, so that a server, a verifier and whoever makes a key run
// the very same checks.
//
//	roots, err := attestation.Yubico().With(more)      // Yubico's and one's own
//	proof, err := roots.Check(key, chain, time.Now())  // serial, firmware, policies
//	until, err := demand.Root(repository, root, time.Now()) // every key of root and targets
//
// A chain is PEM, leaf first: the certificate by which the stick vouches for the
// key in a slot, then the one of the key that it vouches with (slot f9), then, if
// need be, those between that and a root. It travels in signed metadata, by key ID
// (tuf.MemberAttestations).
//
//	the chain                    check.go    Yubico, "PIV attestation"; RFC 5280, section 6
//	what the leaf says           proof.go    Yubico's arc 1.3.6.1.4.1.41482.3
//	who is believed              roots.go    certs/ says where Yubico publishes them
//	what is demanded of a key    demand.go   Signet profile: attestations
//
// A refusal is a *tuf.Refusal, and its rule one of tuf.RuleNotAttested,
// RuleAttestationChain, RuleAttestationExpired, RuleAttestationKey,
// RuleAttestationPolicy and RuleAttestationFirmware.
//
// Who may be evil: whoever made the key and the chain, with YubiKeys of their own
// at hand. They cannot have a key pass that was not made on a stick below a root
// that is trusted, nor another stick's serial number, firmware or policies. What a
// stick says of itself is believed: whoever gets the attestation key out of one can
// attest anything, in the name of that stick.
package attestation
