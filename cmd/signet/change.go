package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// showChange shows what is about to be signed, decoded from the exact bytes.
// Nothing was signed yet.
func (a *app) showChange(change *client.Change, ring *keyring) {
	if change.Rebased {
		a.note("somebody else published first; on what is there now, this would be signed:")
	} else {
		a.note("this will be %s for %s:", a.doneTo(change), change.Repository)
	}
	for _, role := range change.Expired {
		a.note("note: the current %s has expired", role)
	}
	for _, file := range change.Files {
		a.printFile(a.stderr, change.Repository, file, ring)
	}
	fmt.Fprintln(a.stderr)
	for _, warning := range change.Warnings {
		a.note("warning: %s", clip(warning, maxSentence))
	}
	for _, file := range change.Files {
		for _, role := range file.Roles {
			if role.Role == tuf.RoleRoot && len(role.Keys) == 1 {
				a.note("give it a second one, on another YubiKey, kept elsewhere: signet rotate %s root --add KEY", change.Repository)
			}
		}
	}
}

// doneTo says what is done with a change once somebody agrees.
func (a *app) doneTo(change *client.Change) string {
	switch {
	case a.propose != nil:
		return "proposed"
	case !slices.ContainsFunc(change.Files, func(file client.FileChange) bool { return len(file.SignedBy) > 0 }):
		return "published" // all have signed
	}
	return "signed"
}

func (a *app) printFile(w io.Writer, repository string, file client.FileChange, ring *keyring) {
	fmt.Fprintf(w, "\n  %s version %d, expires %s (%s)\n", file.Role, file.Version, stamp(file.Expires), until(a.now(), file.Expires))
	lines := signerLines(repository, file)
	lines = append(lines, keyLines(file, ring)...)
	lines = append(lines, targetLines(repository, file.Targets)...)
	if len(file.Members) > 0 {
		lines = append(lines, "~ what signet does not know of: "+clip(strings.Join(file.Members, ", "), 300))
	}
	if len(lines) == 0 && file.WasExpires == nil {
		lines = append(lines, "no tags yet")
	} else if len(lines) == 0 {
		lines = append(lines, "nothing changes but the expiry, which was "+stamp(*file.WasExpires))
	}
	for _, id := range file.SignedBy {
		lines = append(lines, "signed by "+ring.describe(id))
	}
	for _, line := range append(lines, "SHA-256 of what is signed: "+file.SHA256) {
		fmt.Fprintf(w, "    %s\n", line)
	}
}

// worth says what an attestation that comes with a key proves, whoever put it there: that
// there is one means nothing.
func (r *keyring) worth(key *tuf.Key, chain []string) string {
	if key == nil {
		return ", which no role lists"
	}
	of := fmt.Sprintf("%s %q", key.ID(), chain)
	if text, ok := r.vouched[of]; ok {
		return text
	}
	if r.vouchers == nil {
		r.vouchers = attestation.Yubico()
	}
	text := ""
	if p, err := r.vouchers.Check(key, chain, r.app.now()); err != nil {
		text = fmt.Sprintf(", attestation not believed (%s)", tuf.RuleOf(err))
	} else {
		text = fmt.Sprintf(", attested by %s: firmware %s, PIN %s, touch %s", clip(voucher(p), 60), p.Firmware, p.PIN, p.Touch)
	}
	if r.vouched == nil {
		r.vouched = map[string]string{}
	}
	r.vouched[of] = text
	return text
}

// keyLines says what happens to keys, their attestations and thresholds.
func keyLines(file client.FileChange, ring *keyring) (lines []string) {
	attested := map[string]bool{}
	chains := map[string][]string{}
	for _, a := range file.Attestations {
		attested[a.KeyID], chains[a.KeyID] = len(a.New) > 0, a.New
	}
	told := map[string]bool{} // keys whose attestation comes or goes with them
	for _, key := range file.Keys {
		sign, note := "-", onlineNote(key.Role)
		id := key.Key.ID()
		if key.Added {
			sign = "+"
		}
		if key.Added && attested[id] {
			note += ring.worth(key.Key, chains[id])
		}
		told[id] = told[id] || key.Added == attested[id]
		lines = append(lines, fmt.Sprintf("%s %-9s key %s%s", sign, clip(key.Role, 100), ring.describe(id), note))
	}
	for _, a := range file.Attestations {
		switch {
		case told[a.KeyID]:
		case len(a.Old) == 0:
			lines = append(lines, "+ attestation of key "+ring.describe(a.KeyID)+ring.worth(a.Key, a.New))
		case len(a.New) > 0:
			lines = append(lines, "~ another attestation of key "+ring.describe(a.KeyID)+ring.worth(a.Key, a.New))
		default:
			lines = append(lines, "- attestation of key "+ring.describe(a.KeyID))
		}
	}
	for _, t := range file.Thresholds {
		switch role := clip(t.Role, 100); {
		case t.Old > 0 && t.New > 0:
			lines = append(lines, fmt.Sprintf("~ %-9s takes %s, not %d any more", role, plural(t.New, "signature"), t.Old))
		case t.New > 1:
			lines = append(lines, fmt.Sprintf("+ %-9s takes %s", role, plural(t.New, "signature")))
		}
	}
	return lines
}

// signerLines says which signers come, go, or may sign something else.
func signerLines(repository string, file client.FileChange) (lines []string) {
	may := func(d *client.Delegation) string {
		return signerInfo{}.of(repository, d.Paths, d.Terminating).tags()
	}
	for _, s := range file.Signers {
		switch name := clip(s.Name, 100); {
		case s.Old == nil:
			lines = append(lines, fmt.Sprintf("+ signer %s may sign the tags %s", name, may(s.New)))
		case s.New == nil:
			lines = append(lines, fmt.Sprintf("- signer %s, who might sign the tags %s", name, may(s.Old)))
		default:
			lines = append(lines, fmt.Sprintf("~ signer %s may sign the tags %s, not %s any more", name, may(s.New), may(s.Old)))
		}
	}
	if len(file.Order) > 0 {
		lines = append(lines, "~ signers are asked in the order "+clip(strings.Join(file.Order, ", "), 300))
	}
	return lines
}

func onlineNote(role string) string {
	if role == tuf.RoleSnapshot || role == tuf.RoleTimestamp {
		return " (the server's signer vouches for it)"
	}
	return ""
}

// targetLines says in tags what happens to target paths: '+' is new, '~' means
// another digest from now on, '-' is withdrawn.
func targetLines(repository string, changes []tuf.Change) []string {
	tagMoves := map[string]bool{} // record paths that a line about their tag speaks for
	for _, c := range changes {
		if image, err := tuf.ParsePath(c.Path); err == nil && image.Digest == "" && c.New != nil {
			tagMoves[tuf.RecordPath(image.Repository, image.Tag, c.New.Digest)] = true
		}
	}
	var lines []string
	for _, c := range changes {
		if c.New != nil && tagMoves[c.Path] {
			continue
		}
		name := strings.TrimPrefix(c.Path, repository)
		switch {
		case c.Old == nil:
			lines = append(lines, fmt.Sprintf("+ %s  %s%s", name, c.New.Digest, aboutTarget(*c.New)))
		case c.New == nil && strings.Contains(name, "@"):
			lines = append(lines, fmt.Sprintf("- %s  is not trusted under the tag any more", name))
		case c.New == nil:
			lines = append(lines, fmt.Sprintf("- %s  %s", name, c.Old.Digest))
		case c.Old.Digest == c.New.Digest:
			lines = append(lines, fmt.Sprintf("~ %s  %s%s", name, c.New.Digest, aboutTarget(*c.New)))
		default:
			lines = append(lines, fmt.Sprintf("~ %s  %s%s", name, c.New.Digest, aboutTarget(*c.New)),
				fmt.Sprintf("  %s  was %s until now", strings.Repeat(" ", len(name)), c.Old.Digest))
		}
	}
	return lines
}

// aboutTarget says what kind of thing a target is.
func aboutTarget(t tuf.Target) string {
	var parts []string
	switch {
	case strings.Contains(t.MediaType, "index"), strings.Contains(t.MediaType, "manifest.list"):
		parts = append(parts, "multi-platform index")
	case strings.Contains(t.MediaType, "manifest"):
		parts = append(parts, "image manifest")
	case t.MediaType != "":
		parts = append(parts, clip(t.MediaType, 100))
	}
	parts = append(parts, fmt.Sprintf("%d bytes", t.Length))
	if len(t.Platforms) > 0 {
		parts = append(parts, strings.Join(t.Platforms, " "))
	}
	if len(t.Annotations) > 0 {
		parts = append(parts, annotations(t.Annotations))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// describe names a key by what this machine knows of it.
func (r *keyring) describe(id string) string {
	text := id[:min(12, len(id))]
	key, found := r.known[id]
	if entry, err := r.store.Find(id); err == nil {
		key.Key, key.entry, found = entry.Key, &entry, true
		if entry.Name != "" {
			text = fmt.Sprintf("%s (%s)", entry.Name, text)
		}
	}
	if !found {
		return text
	}
	return text + ", " + describeKey(key)
}
