package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/signet-trust/signet/client"
)

// printJSON writes what the encoder would, one repository after the other: all of
// them in one piece can be larger than all that was read.
func (r *compromisedResult) printJSON(w io.Writer) error {
	const none = `"repositories":[]`
	head := *r
	head.Repositories = []*client.Compromise{}
	var frame bytes.Buffer
	if err := encodeJSON(&frame, head); err != nil {
		return err
	}
	// In a text the quotes would be escaped, so it is the member.
	before, after, ok := bytes.Cut(frame.Bytes(), []byte(none))
	if !ok {
		return errors.New("the report has no list of repositories")
	}
	out := &errWriter{w: w}
	out.Write(before)
	io.WriteString(out, strings.TrimSuffix(none, "]"))
	for i, repository := range r.Repositories {
		if i > 0 {
			io.WriteString(out, ",")
		}
		var piece bytes.Buffer
		if err := encodeJSON(&piece, repository); err != nil {
			return err
		}
		out.Write(bytes.TrimSuffix(piece.Bytes(), []byte("\n")))
	}
	io.WriteString(out, "]")
	out.Write(after)
	return out.err
}

// printCompromised is the report as people read it. The plan is left out where a
// guided run goes through it.
func (a *app) printCompromised(w io.Writer, result *compromisedResult, guided bool) {
	fmt.Fprintf(w, "key %s", result.KeyID)
	if result.Name != "" {
		fmt.Fprintf(w, " (%s)", result.Name)
	}
	if result.Since != nil {
		fmt.Fprintf(w, ", in doubt since %s", stamp(*result.Since))
	}
	fmt.Fprintf(w, "\n%s looked at, the key is or was trusted in %d\n", repositories(result.Searched), len(result.Repositories))
	for _, c := range result.Repositories {
		fmt.Fprintf(w, "\n%s\n", c.Repository)
		for _, line := range canForge(c) {
			fmt.Fprintf(w, "  %s\n", line)
		}
		for _, t := range c.Trusted {
			if t.Ended != nil {
				fmt.Fprintf(w, "  was a key of %s from %s until %s\n", clip(t.Role, 100), stamp(t.Time), stamp(*t.Ended))
			}
		}
		for _, b := range c.Brought {
			fmt.Fprintf(w, "  LET IN key %.12s as a key of %s, alone, %s: %s\n", b.KeyID, clip(b.Role, 100), stamp(b.Time), letIn)
		}
		for _, s := range c.Signers {
			fmt.Fprintf(w, "  SIGNER: this key alone %s (%s %d, %s)\n", signerDone(c.Repository, s), clip(s.Delegator, 100), s.Version, stamp(s.Time))
		}
		for _, tag := range c.Withdrawn {
			fmt.Fprintf(w, "  WITHDRAWN: the tag %s means nothing because this key alone withdrew it (%s %d, %s); it meant %s\n", clip(tag.Tag, 100), clip(tag.Role, 100), tag.Version, stamp(tag.Time), tag.Good.Digest)
		}
		table(w, func(w io.Writer) {
			for i, s := range c.Signed {
				if i == 0 {
					fmt.Fprintln(w, "\n  SIGNED\tTAG\tDIGEST\tROLE\tNOW\tVOUCHED BY")
				}
				fmt.Fprintf(w, "  %s\t%s\t%s\t%s %d\t%s\t%s\n", stamp(s.Time), clip(s.Tag, 100), s.Digest, clip(s.Role, 100), s.Version, standing(s), vouchedBy(s))
			}
		})
		for _, m := range c.Metadata {
			fmt.Fprintf(w, "  signed %s version %d, which says who may sign, %s (with %d other keys)\n", clip(m.Role, 100), m.Version, stamp(m.Time), len(m.Signers)-1)
		}
		if len(c.Changed) > 0 && c.Since != nil {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, "\n  CHANGED\tTAG\tBEFORE\tAFTER\tROLE\tBY THE KEY")
				for _, change := range c.Changed {
					fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s %d\t%s\n", stamp(change.Time), clip(change.Tag, 100), shortDigest(change.Before), shortDigest(change.After), clip(change.Role, 100), change.Version, yesNo(change.ByKey))
				}
			})
		}
		for _, gap := range c.Gaps {
			fmt.Fprintf(w, "  not told: %s\n", gapText(gap))
		}
	}
	for _, failed := range result.Failed {
		fmt.Fprintf(w, "\nNOT looked at: %s: %s\n", failed.Repository, afterName(failed))
	}
	if len(result.Plan) == 0 || guided {
		if len(result.Plan) == 0 && len(result.Repositories) > 0 {
			fmt.Fprintf(w, "\n%s\n", nothingLeft(result))
		}
		return
	}
	guide := "--guided"
	if result.takesKey() {
		guide += " --with NEWKEY"
	}
	fmt.Fprintf(w, "\nwhat to do, in this order (signet compromised ... %s goes through it):\n", guide)
	for _, step := range result.Plan {
		fmt.Fprintf(w, "  %s\n      # %s\n", step.Command, step.Why)
	}
}

// letIn is what to think of a key that the compromised one let in.
const letIn = "unless you know whose it is, a thief left it behind"

// signerDone says in words what the key alone did to a signer that was there before.
func signerDone(repository string, s client.ChangedSigner) string {
	name := clip(s.Role, 100)
	if s.Is == nil {
		return "took the signer " + name + " away"
	}
	var did []string
	for _, id := range s.Gone {
		did = append(did, fmt.Sprintf("without its key %.12s", id))
	}
	say := func(differ bool, format string, args ...any) {
		if differ {
			did = append(did, fmt.Sprintf(format, args...))
		}
	}
	tags := func(terms client.SignerTerms) string {
		return signerInfo{}.of(repository, terms.Paths, terms.Terminating).tags()
	}
	say(tags(s.Was) != tags(*s.Is), "for the tags %s in place of %s", tags(*s.Is), tags(s.Was))
	say(s.Was.Threshold != s.Is.Threshold, "with a threshold of %d in place of %d", s.Is.Threshold, s.Was.Threshold)
	say(s.Moved(), "in another place of the order")
	if len(did) == 0 {
		did = append(did, "for other paths")
	}
	return fmt.Sprintf("left the signer %s %s", name, clip(strings.Join(did, ", "), maxSentence))
}

// canForge says in words what the key can do in a repository now.
func canForge(c *client.Compromise) []string {
	var lines []string
	for _, role := range c.Roles {
		what := "any tag, and who the signers are"
		switch {
		case isOnline(role.Role):
			lines = append(lines, fmt.Sprintf("TRUSTED as a key of %s, which makes no digest trusted: who has it can hold back what is new; with the keys of snapshot and timestamp both, run versions ahead, and show old tags to machines that have seen nothing", role.Role))
			continue
		case role.Role == "root":
			what = "every key of the repository, and so everything"
		case len(role.Paths) > 0:
			what = "the tags " + strings.TrimSuffix(signerInfo{}.of(c.Repository, role.Paths, false).tags(), ", and asks no signer after it")
		}
		if role.Alone {
			lines = append(lines, fmt.Sprintf("TRUSTED as a key of %s, and enough alone: who has it can forge %s", clip(role.Role, 100), what))
			continue
		}
		lines = append(lines, fmt.Sprintf("trusted as a key of %s, %d of whose %d keys must sign: alone it can forge nothing; with %d more, %s", clip(role.Role, 100), role.Threshold, role.Keys, role.Threshold-1, what))
	}
	if len(lines) == 0 {
		lines = append(lines, "no role trusts the key now: who has it can forge nothing")
	}
	return lines
}

// afterName is why a repository could not be looked at, without its name, which most
// errors start with.
func afterName(failed *outcome) string {
	return strings.TrimPrefix(failed.Error, failed.Repository+": ")
}

func standing(s client.SignedTarget) string {
	switch {
	case s.Current:
		return "what the tag means"
	case s.Trusted:
		return "trusted"
	}
	return "not trusted"
}

func vouchedBy(s client.SignedTarget) string {
	if s.Only {
		return "this key alone"
	}
	return "others, too"
}

func shortDigest(digest string) string {
	if digest == "" {
		return "-"
	}
	return digest[:min(len(digest), 19)]
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func gapText(gap client.Gap) string {
	switch {
	case gap.Role == "":
		return gap.Why
	case gap.From == gap.To:
		return fmt.Sprintf("%s version %d: %s", clip(gap.Role, 100), gap.From, gap.Why)
	}
	return fmt.Sprintf("%s versions %d to %d: %s", clip(gap.Role, 100), gap.From, gap.To, gap.Why)
}

func repositories(n int) string {
	if n == 1 {
		return "1 repository"
	}
	return fmt.Sprintf("%d repositories", n)
}

// nothingLeft says that the plan is empty, and no more than is known.
func nothingLeft(result *compromisedResult) string {
	if len(result.Failed) > 0 || slices.ContainsFunc(result.Repositories, func(c *client.Compromise) bool { return len(c.Gaps) > 0 }) {
		return "no role that was looked at trusts the key now; whether something that it vouched for is trusted cannot be told, since not all of the past could be read"
	}
	return "nothing is left to do: no role trusts the key, and nothing that it alone vouched for in that time is trusted"
}
