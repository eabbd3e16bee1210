package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signet-trust/signet/client"
)

// requireUsage is the help of --require.
const requireUsage = "trust nothing unless this signer, known by its key, vouches too: `NAME=KEY[,KEY]` (may be given several times: all must vouch; of the keys of one, one is enough)"

// readVoices reads --require NAME=KEY[,KEY]. A signer given twice is one with the
// keys of both, as one who has a second YubiKey.
func readVoices(given []string) ([]client.Voice, error) {
	var voices []client.Voice
	for _, item := range given {
		name, keys, ok := strings.Cut(item, "=")
		if !ok || name == "" || keys == "" {
			return nil, advise(usagef("--require %.80q: expected NAME=KEY", item), "NAME is a signer's name, KEY its key ID or a file with its public key; signet signer list shows both")
		}
		list := []string{keys}
		if !strings.Contains(keys, "-----BEGIN") {
			list = strings.Split(keys, ",")
		}
		i := slices.IndexFunc(voices, func(v client.Voice) bool { return v.Name == name })
		if i < 0 {
			i, voices = len(voices), append(voices, client.Voice{Name: name})
		}
		for _, key := range list {
			id, err := pinnedKeyID("--require", key)
			if err != nil {
				return nil, err
			}
			voices[i].Keys = append(voices[i].Keys, id)
		}
	}
	return voices, nil
}

// voiceKeys says by which keys the signers are known.
func voiceKeys(voices []client.Voice) string {
	list := make([]string, len(voices))
	for i, voice := range voices {
		short := make([]string, len(voice.Keys))
		for n, id := range voice.Keys {
			short[n] = id[:min(12, len(id))]
		}
		list[i] = fmt.Sprintf("%s by key %s", voice.Name, strings.Join(short, " or "))
	}
	return strings.Join(list, ", ")
}

// requiresLess lists the signers whom one anchor requires and another does not.
func requiresLess(one, other client.Anchor) []client.Voice {
	return slices.DeleteFunc(slices.Clone(one.Require), func(v client.Voice) bool {
		return slices.ContainsFunc(other.Require, func(w client.Voice) bool { return v.Name == w.Name })
	})
}
