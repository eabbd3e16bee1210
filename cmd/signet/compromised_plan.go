package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// trusts tells whether a role is one of those that trust the key itself.
func trusts(c *client.Compromise, role string) bool {
	return slices.ContainsFunc(c.Roles, func(r client.CompromisedRole) bool { return r.Role == role })
}

// broughtTo lists the IDs of the keys that the key let into a role.
func broughtTo(c *client.Compromise, role string) []string {
	var ids []string
	for _, b := range c.Brought {
		if b.Role == role {
			ids = append(ids, b.KeyID)
		}
	}
	return ids
}

// changedTo is what the key did to a signer that was there before, or nil.
func changedTo(c *client.Compromise, role string) *client.ChangedSigner {
	i := slices.IndexFunc(c.Signers, func(s client.ChangedSigner) bool { return s.Role == role })
	if i < 0 {
		return nil
	}
	return &c.Signers[i]
}

// isOnline tells whether a role has keys of the server's signer.
func isOnline(role string) bool { return role == tuf.RoleSnapshot || role == tuf.RoleTimestamp }

// takesKey tells whether a guided run puts another key in the compromised one's place
// anywhere, or signs anything that takes one.
func (r *compromisedResult) takesKey() bool {
	return slices.ContainsFunc(r.Repositories, func(c *client.Compromise) bool {
		return len(c.Doubtful) > 0 || len(swept(c)) > 0 || slices.ContainsFunc(c.Roles, func(role client.CompromisedRole) bool { return !isOnline(role.Role) })
	})
}

// held tells whether a signer that was there before has no key now but such as the key
// let in: they cannot go before others come.
func held(c *client.Compromise, role string) bool {
	s := changedTo(c, role)
	return s != nil && s.Is != nil && !slices.ContainsFunc(s.Is.Keys, func(id string) bool { return !slices.Contains(broughtTo(c, role), id) })
}

// mendSigner is the command that makes a signer what it was before the key alone
// changed it, and takes out the keys that it let in, too, where asked.
func mendSigner(c *client.Compromise, s client.ChangedSigner, sweep bool) string {
	if s.Is == nil {
		command := fmt.Sprintf("signet signer add %s %s --threshold %d", c.Repository, word(s.Role), s.Was.Threshold)
		for _, id := range s.Was.Keys {
			command += fmt.Sprintf(" --key %.12s", id)
		}
		if command += tagFlags(c.Repository, s.Was); s.Was.Terminating {
			command += " --terminating"
		}
		if s.Delegator != tuf.RoleTargets {
			command += " --under " + word(s.Delegator)
		}
		if s.Was.Before != "" {
			command += " --before " + word(s.Was.Before)
		}
		return command
	}
	command := fmt.Sprintf("signet signer update %s %s", c.Repository, word(s.Role))
	for _, id := range s.Gone {
		command += fmt.Sprintf(" --add %.12s", id)
	}
	if sweep {
		for _, id := range broughtTo(c, s.Role) {
			command += fmt.Sprintf(" --remove %.12s", id)
		}
	}
	if s.Was.Threshold != s.Is.Threshold {
		command += fmt.Sprintf(" --threshold %d", s.Was.Threshold)
	}
	if !slices.Equal(s.Was.Paths, s.Is.Paths) {
		command += tagFlags(c.Repository, s.Was)
	}
	if s.Was.Terminating != s.Is.Terminating {
		command += " --terminating=" + strconv.FormatBool(s.Was.Terminating)
	}
	switch {
	case s.Moved() && s.Was.Before != "":
		command += " --before " + word(s.Was.Before)
	case s.Moved():
		command += " --last"
	}
	return command
}

func tagFlags(repository string, terms client.SignerTerms) string {
	var flags strings.Builder
	for _, tag := range (signerInfo{}).of(repository, terms.Paths, false).Tags {
		flags.WriteString(" --tags " + word(tag))
	}
	return flags.String()
}

// planFor lists the commands that mend one repository, in their order.
func planFor(c *client.Compromise) []planned {
	var plan []planned
	add := func(why, format string, args ...any) {
		plan = append(plan, planned{c.Repository, fmt.Sprintf(format, args...), why})
	}
	id, root, online := c.KeyID[:min(12, len(c.KeyID))], "", false
	for _, role := range c.Roles {
		if isOnline(role.Role) {
			online = true // the server's signer makes another, below
			continue
		}
		if role.Role == tuf.RoleRoot {
			root = " --root-key NEWKEY"
			for _, other := range role.Others {
				root += " --root-key " + other
			}
			root += fmt.Sprintf(" --threshold %d", role.Threshold)
		}
		remove := " --remove " + id
		for _, key := range broughtTo(c, role.Role) {
			remove += fmt.Sprintf(" --remove %.12s", key)
		}
		add(fmt.Sprintf("%s trusts the key", role.Role), "signet rotate %s %s%s --add NEWKEY", c.Repository, word(role.Role), remove)
	}
	done := map[string]bool{}
	for _, b := range c.Brought {
		switch {
		case done[b.Role] || trusts(c, b.Role) || changedTo(c, b.Role) != nil:
		case b.All && b.New:
			add("only the key let this signer in; unless you know whose it is", "signet signer remove %s %s", c.Repository, word(b.Role))
		default:
			remove := ""
			for _, key := range broughtTo(c, b.Role) {
				remove += fmt.Sprintf(" --remove %.12s", key)
			}
			add("only the key let these keys in; unless you know whose they are", "signet rotate %s %s%s", c.Repository, word(b.Role), remove)
		}
		done[b.Role] = true
	}
	for _, s := range c.Signers {
		why := "what it was before the key alone changed it; a KEY that is not at hand is a file with its public half"
		if s.Is == nil {
			why = "the key alone took it away: for you to say whether that was right; a KEY that is not at hand is a file with its public half"
		}
		add(why, "%s", mendSigner(c, s, !trusts(c, s.Role))) // else the key's own replacement takes them out
	}
	for _, tag := range c.Doubtful {
		image := c.Repository + ":" + tag.Tag
		switch {
		case c.Left(tag.Role): // it goes with the signer
			continue
		case tag.Good == nil:
			add("it meant nothing before", "signet revoke %s", image)
			continue
		case tag.Good.Digest != tag.Digest:
			add("what it meant before", "signet sign %s@%s --as %s", image, tag.Good.Digest, word(tag.Role))
			add("only the key vouched for it", "signet revoke %s@%s", image, tag.Digest)
		}
		for _, digest := range tag.Records {
			add("only the key vouched for it", "signet revoke %s@%s", image, digest)
		}
	}
	for _, tag := range c.Withdrawn {
		if !c.Left(tag.Role) {
			add("the key alone withdrew it: for you to say whether that was right", "%s", putBack(c, tag))
		}
	}
	switch {
	case online:
		add("takes root keys; the server's signer makes fresh ones, and verifiers forget what the old ones signed", "signet rotate %s snapshot timestamp", c.Repository)
	case len(plan) > 0:
		add("takes root keys; only for a thief who had the server, too, and may have run versions ahead", "signet rotate %s snapshot timestamp", c.Repository)
	}
	if root != "" {
		add("on every machine that pins the key, for the names that it pins it for; NEWKEY is a whole key ID, or a file", "signet trust add %s%s --server URL --replace", c.Repository, root)
	}
	return plan
}

// putBack is the command that puts a withdrawn tag back.
func putBack(c *client.Compromise, tag client.WithdrawnTag) string {
	return fmt.Sprintf("signet sign %s:%s@%s --as %s", c.Repository, tag.Tag, tag.Good.Digest, word(tag.Role))
}
