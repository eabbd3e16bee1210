package client

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// A Voice is a signer who must vouch for a digest, known by its key and not by its
// name alone: whoever holds the targets keys says which signers there are, and what
// they are called, but cannot sign with another's key.
//
// Metadata does not say in its signed part which role it is for. So a key that signs
// for two roles of one repository lets whoever holds the targets keys pass the one's
// file off as the other's: pin keys that sign for one role only.
type Voice struct {
	Name string `json:"name"` // the signer's name
	// Keys are the IDs of the signer's keys; one that has signed is enough.
	Keys []string `json:"keys"`
}

// A VoiceMatch is a required signer's word for a digest.
type VoiceMatch struct {
	Name string `json:"name"`
	Key  string `json:"key"` // ID of the pinned key that has signed
	Tag  string `json:"tag"` // under which the signer lists the digest
}

// checkVoices refuses voices that could never be told apart.
func checkVoices(voices []Voice) error {
	keys := map[string]string{} // by ID, whose
	names := map[string]bool{}
	for _, voice := range voices {
		if err := tuf.CheckRoleName(voice.Name); err != nil {
			return fmt.Errorf("require: %w", err)
		}
		if names[strings.ToLower(voice.Name)] {
			return fmt.Errorf("require: %s is given twice; one voice may have several keys", voice.Name)
		}
		names[strings.ToLower(voice.Name)] = true
		if len(voice.Keys) == 0 {
			return fmt.Errorf("require: %s has no key to be known by", voice.Name)
		}
		for _, id := range voice.Keys {
			if !isSHA256(id) {
				return fmt.Errorf("require %s: %q is not a key ID (64 lower-case hex digits)", voice.Name, tidy(id, maxName))
			}
			if whose, ok := keys[id]; ok {
				return fmt.Errorf("require: key %s is given for %s and for %s: it would be one voice, not two", id, whose, voice.Name)
			}
			keys[id] = voice.Name
		}
	}
	return nil
}

// require returns the word of every voice that the anchor requires for a digest
// under a tag, or a refusal with tuf.RuleVoice that says which one is lacking.
func (x *Update) require(ctx context.Context, repository, tag, digest string) ([]VoiceMatch, error) {
	var matches []VoiceMatch
	var spoken []*tuf.Key
	for _, voice := range x.u.voices {
		key, err := x.voice(ctx, voice, repository, tag, digest)
		if err != nil {
			return nil, err
		}
		// One key under two IDs, as other tools may encode it, is one voice.
		if slices.ContainsFunc(spoken, key.Equal) {
			return nil, x.silent(voice, "its key %s is another voice's, too, under another ID", key.ID())
		}
		spoken = append(spoken, key)
		matches = append(matches, VoiceMatch{Name: voice.Name, Key: key.ID(), Tag: tag})
	}
	return matches, nil
}

// lacking lists the required voices that do not vouch for a digest under a tag.
func (x *Update) lacking(ctx context.Context, repository, tag, digest string) ([]string, error) {
	var names []string
	for _, voice := range x.u.voices {
		_, err := x.voice(ctx, voice, repository, tag, digest)
		if tuf.RuleOf(err) == tuf.RuleVoice {
			names = append(names, voice.Name)
		} else if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// voice looks for one voice: a role of its name to which every delegation on the
// way trusts the path, for which its delegator lists one of the pinned keys, whose
// file that key has signed, and that lists the digest under the tag, as what it
// means or as a record. It returns the key.
func (x *Update) voice(ctx context.Context, voice Voice, repository, tag, digest string) (*tuf.Key, error) {
	var key *tuf.Key
	far, why := 0, fmt.Sprintf("there is no signer %s who may sign the tag %s", voice.Name, tag)
	nearer := func(step int, format string, args ...any) (bool, error) {
		if step > far {
			far, why = step, fmt.Sprintf(format, args...)
		}
		return false, nil
	}
	visit := func(delegator string, targets *tuf.Targets, listed *tuf.Target) (bool, error) {
		keys, _ := tuf.SignerKeysOf(x.trusted.Role(delegator), voice.Name)
		pinned := slices.DeleteFunc(keys.Keys, func(k *tuf.Key) bool { return !slices.Contains(voice.Keys, k.ID()) })
		if len(pinned) == 0 {
			return nearer(1, "%s lists other keys for %s than those that are required (%s)", delegator, voice.Name, strings.Join(voice.Keys, ", "))
		}
		i := -1
		for n, key := range pinned {
			signed, err := x.signed(voice.Name, key)
			if err != nil {
				return false, err
			}
			if signed {
				i = n
				break
			}
		}
		switch {
		case i < 0:
			return nearer(2, "the file of %s, version %d, is not signed by the key that is required (%s)", voice.Name, targets.Signed.Version, pinned[0].ID())
		case listed == nil:
			return nearer(3, "%s has not signed %s under the tag %s", voice.Name, digest, tag)
		case listed.Digest != digest:
			return nearer(4, "%s has signed another digest under the tag %s, %s, and not %s", voice.Name, tag, listed.Digest, digest)
		}
		key = pinned[i]
		return true, nil
	}
	for _, path := range []string{tuf.TagPath(repository, tag), tuf.RecordPath(repository, tag, digest)} {
		if err := x.trusted.Reach(path, voice.Name, x.loader(ctx), visit); err != nil {
			return nil, err
		}
		if key != nil {
			return key, nil
		}
	}
	return nil, x.silent(voice, "%s", why)
}

// silent is the refusal that a voice is lacking.
func (x *Update) silent(voice Voice, format string, args ...any) error {
	return refuseRole(x, voice.Name, tuf.RuleVoice, "trust anchor: require", "its word is required, and "+format, args...)
}

// signed tells whether key has signed the file of role, under whatever ID the
// signature stands.
func (x *Update) signed(role string, key *tuf.Key) (bool, error) {
	at := [2]string{role, key.ID()}
	if signed, ok := x.signers[at]; ok {
		return signed, nil
	}
	// Read anew: what was verified lists only the keys that this client can use.
	file, err := tuf.ReadTargets(x.trusted.Bytes(role))
	if err != nil {
		return false, err
	}
	payload, err := tuf.Payload(file)
	if err != nil {
		return false, err
	}
	if x.signers == nil {
		x.signers = map[[2]string]bool{}
	}
	x.signers[at] = slices.ContainsFunc(file.Signatures, func(s metadata.Signature) bool { return key.Verify(payload, s.Signature) == nil })
	return x.signers[at], nil
}
