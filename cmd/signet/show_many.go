package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/signet-trust/signet/client"
)

// showChanges shows what is about to be signed. Changes that say the same of several
// repositories are shown in full once, and of the others what differs: the name, the
// versions, and the SHA-256 of the very bytes.
func (a *app) showChanges(changes []*client.Change, ring *keyring) {
	groups := map[string][]*client.Change{}
	var order []string
	for _, change := range changes {
		key := sameWords(change, ring)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], change)
	}
	for _, key := range order {
		group := groups[key]
		if len(group) == 2 { // no list is shorter than the other one in full
			a.showChange(group[0], ring)
			a.showChange(group[1], ring)
			continue
		}
		a.showChange(group[0], ring)
		if len(group) == 1 {
			continue
		}
		a.note("and the very same in %d more repositories:", len(group)-1)
		for _, change := range group[1:] {
			fmt.Fprintf(a.stderr, "\n  %s\n", change.Repository)
			for _, file := range change.Files {
				fmt.Fprintf(a.stderr, "    %s version %d, expires %s, SHA-256 %s\n", file.Role, file.Version, stamp(file.Expires), file.SHA256)
			}
		}
		fmt.Fprintln(a.stderr)
	}
}

// sameWords is what a change says, but for the repository's name, its versions, and
// the time of day of an expiry.
func sameWords(change *client.Change, ring *keyring) string {
	words := []string{fmt.Sprint(change.New, change.Rebased), strings.Join(change.Expired, ","), strings.Join(change.Warnings, "\n")}
	for _, file := range change.Files {
		words = append(words, file.Role, file.Expires.UTC().Format("2006-01-02"), strings.Join(file.Members, ","), strings.Join(file.SignedBy, ","))
		lines := slices.Concat(signerLines(change.Repository, file), keyLines(file, ring), targetLines(change.Repository, file.Targets))
		if len(lines) == 0 && file.WasExpires != nil {
			lines = append(lines, "was "+file.WasExpires.UTC().Format("2006-01-02"))
		}
		words = append(words, lines...)
	}
	return strings.ReplaceAll(strings.Join(words, "\x00"), change.Repository, "\x01")
}
