package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// confirmChange shows what is about to be signed, decoded from the exact bytes,
// and asks. Nothing was signed yet.
func (a *app) confirmChange(ctx context.Context, change *client.Change, ring *keyring) error {
	if change.Rebased {
		a.note("somebody else published first; on what is there now, this would be signed:")
	} else {
		a.note("this will be signed for %s:", change.Repository)
	}
	for _, role := range change.Expired {
		a.note("note: the current %s has expired", role)
	}
	for _, file := range change.Files {
		a.printFile(a.stderr, change.Repository, file, ring)
	}
	fmt.Fprintln(a.stderr)
	return a.confirm(ctx, "Sign this?")
}

func (a *app) printFile(w io.Writer, repository string, file client.FileChange, ring *keyring) {
	fmt.Fprintf(w, "\n  %s version %d, expires %s (%s)\n", file.Role, file.Version, stamp(file.Expires), until(a.now(), file.Expires))
	var lines []string
	for _, key := range file.Keys {
		sign := "-"
		if key.Added {
			sign = "+"
		}
		lines = append(lines, fmt.Sprintf("%s %-9s key %s%s", sign, key.Role, ring.describe(key.Key.ID()), onlineNote(key.Role)))
	}
	for _, t := range file.Thresholds {
		switch {
		case t.Old > 0:
			lines = append(lines, fmt.Sprintf("~ %-9s takes %s, not %d any more", t.Role, plural(t.New, "signature"), t.Old))
		case t.New > 1:
			lines = append(lines, fmt.Sprintf("+ %-9s takes %s", t.Role, plural(t.New, "signature")))
		}
	}
	lines = append(lines, targetLines(repository, file.Targets)...)
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
