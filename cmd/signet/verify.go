package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/client/registry"
	"github.com/signet-trust/signet/tuf"
)

// verifyFlags are verify's own flags.
type verifyFlags struct {
	quiet, offline, compare, firstUse bool
	ca, from                          string
	registry                          registryFlags
}

func newVerify(a *app) *cobra.Command {
	var flags verifyFlags
	cmd := &cobra.Command{
		Use:   "verify IMAGE...",
		Short: "Tell which digest a name means, and refuse what is not signed",
		Long: `Tell what each image's name means, and refuse what is not signed. The trust server
is asked, never the registry: a tag means what was signed, and the reference that
is printed pulls the image by its digest.

  REPO:TAG          which digest is signed under the tag?
  REPO@DIGEST       under which tags is the digest trusted, now or from before?
  REPO:TAG@DIGEST   is the digest trusted under the tag, and is it the current one?

Without tag and digest, the tag is latest.

Exit status: 0 all are trusted, 3 one is not, 1 it could not be found out for one,
2 usage.`,
		Example: `  docker pull $(signet verify -q registry.example.com/team/app:1.0)
  signet verify --output json registry.example.com/team/app@sha256:...`,
		Args: cobra.MinimumNArgs(1), // nothing checked must not read as trusted
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "print the pinned references only, and nothing unless all are trusted")
	f.BoolVar(&flags.offline, "offline", false, "answer from what was verified before, while that has not expired")
	f.StringVar(&flags.from, "from", "", "answer out of the `folder` that signet export wrote, without asking a server")
	f.BoolVar(&flags.compare, "compare", false, "also ask the registry what it serves; 3 is the answer when that differs")
	f.BoolVar(&flags.firstUse, "trust-on-first-use", false, "for a name without an anchor, trust what the server shows now, and remember it")
	f.StringVar(&flags.ca, "ca", "", "with --trust-on-first-use: PEM `file` of the only authorities that may vouch for the server")
	flags.registry.add(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		if flags.from != "" && (flags.offline || flags.firstUse) {
			return usagef("--from says where the metadata is read: neither --offline nor --trust-on-first-use goes with it")
		}
		images := make([]tuf.Image, len(args))
		for i, arg := range args { // all are read first, so that a typing error asks nobody anything
			var err error
			if images[i], err = image(arg); err != nil {
				return err
			}
		}
		return a.verify(ctx, images, flags)
	})
	return cmd
}

// verify answers for all images, in order, and goes on after a refusal, so that
// one run tells everything.
func (a *app) verify(ctx context.Context, images []tuf.Image, flags verifyFlags) error {
	verifier, err := a.verifier()
	if err != nil {
		return err
	}
	var decisions []*client.Decision
	var refused error
	for _, image := range images {
		if image.Tag == "" && image.Digest == "" {
			image.Tag = "latest"
			a.note("%s has no tag: latest is meant", image.Repository)
		}
		decision, err := a.decide(ctx, verifier, image, flags)
		if err != nil {
			decision.Hint = hint(err)
		}
		refused = errors.Join(refused, err)
		decisions = append(decisions, decision)
		if !flags.quiet {
			if err := a.printDecision(decision, false); err != nil {
				return errors.Join(refused, err)
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	if !flags.quiet || refused != nil {
		return refused // with -q nothing is printed unless all are trusted: a pipe ignores exit codes
	}
	for _, decision := range decisions {
		if err := a.printDecision(decision, true); err != nil {
			return err
		}
	}
	return nil
}

// decide answers for one image. The decision is never nil.
func (a *app) decide(ctx context.Context, verifier *client.Client, image tuf.Image, flags verifyFlags) (*client.Decision, error) {
	undecided := func(err error) (*client.Decision, error) {
		return &client.Decision{Image: image.String(), Repository: image.Repository, Tag: image.Tag, Signers: []string{},
			Rule: tuf.RuleOf(err), Reason: sentence(err), Offline: flags.offline}, err
	}
	options, err := a.options(image.Repository, flags.offline)
	if err != nil {
		return undecided(err)
	}
	options.From = flags.from
	if flags.firstUse && !flags.offline {
		if err := a.firstUse(ctx, verifier, image, flags.ca); err != nil {
			return undecided(err)
		}
		if verifier, err = a.verifier(); err != nil {
			return undecided(err)
		}
	}
	started := a.now()
	decision, err := verifier.Verify(ctx, image, options)
	a.debug("%s: looked at %s in %s", image, versions(decision.Versions), a.now().Sub(started).Round(time.Millisecond))
	if err != nil || !flags.compare {
		return decision, err
	}
	if err := a.compare(ctx, decision, flags.registry); err != nil {
		decision.Trusted, decision.Reference = false, ""
		decision.Rule, decision.Reason = tuf.RuleOf(err), sentence(err)
		return decision, err
	}
	return decision, nil
}

// versions lists the versions of roles, by name.
func versions(m map[string]int64) string {
	if len(m) == 0 {
		return "nothing"
	}
	var list []string
	for _, role := range sortedKeys(m) {
		list = append(list, fmt.Sprintf("%s %d", role, m[role]))
	}
	return strings.Join(list, ", ")
}

// compare asks the registry what it serves under the name, and refuses anything
// but the digest that is trusted.
func (a *app) compare(ctx context.Context, decision *client.Decision, flags registryFlags) error {
	config, err := a.registry(flags)
	if err != nil {
		return err
	}
	asked := tuf.Image{Repository: decision.Repository, Tag: decision.Tag}
	if asked.Tag == "" {
		asked.Digest = decision.Digest
	}
	served, err := a.resolveForCompare(ctx, config, asked)
	if err != nil {
		return err
	}
	if served != decision.Digest {
		return &tuf.Refusal{Repository: decision.Repository, Rule: tuf.RuleCompare, Clause: "--compare",
			Detail: fmt.Sprintf("the registry serves %s under %s, but %s is signed", served, asked, decision.Digest)}
	}
	return nil
}

func (a *app) resolveForCompare(ctx context.Context, config registry.Config, image tuf.Image) (digest string, err error) {
	target, err := config.Resolve(ctx, image)
	if errors.Is(err, tuf.ErrNotFound) {
		return "", fmt.Errorf("the registry has no %s, so there is nothing to compare: %w", image, err)
	}
	if err != nil {
		return "", fmt.Errorf("ask the registry for %s: %w", image, err)
	}
	return target.Digest, nil
}

// printDecision prints one answer: as text the pinned reference, and on stderr
// what stands behind it. The text of a refusal is the error's.
func (a *app) printDecision(d *client.Decision, quiet bool) error {
	if a.output != outputJSON && !d.Trusted {
		return nil
	}
	if a.output != outputJSON && !quiet {
		a.note("%s", a.explain(d))
	}
	return a.print(d, func(w io.Writer) { fmt.Fprintln(w, d.Reference) })
}

// explain says in one line why an image is trusted.
func (a *app) explain(d *client.Decision) string {
	var b strings.Builder
	switch {
	case len(d.Tags) > 0:
		var tags []string
		for _, match := range d.Tags {
			if match.Current {
				tags = append(tags, match.Tag)
			} else {
				tags = append(tags, match.Tag+" (from before)")
			}
		}
		fmt.Fprintf(&b, "%s is trusted under %s", d.Image, strings.Join(tags, ", "))
	case d.Current:
		fmt.Fprintf(&b, "%s is trusted", d.Image)
	default:
		fmt.Fprintf(&b, "%s is trusted from before; the tag means another digest now", d.Image)
	}
	fmt.Fprintf(&b, ", signed by %s", strings.Join(d.Signers, ", "))
	if len(d.Voices) > 0 {
		fmt.Fprintf(&b, ", required and given: the word of %s", strings.Join(givenBy(d.Voices), ", "))
	}
	if d.Expires != nil {
		fmt.Fprintf(&b, ", good until %s (%s)", stamp(*d.Expires), until(a.now(), *d.Expires))
	}
	if d.From != "" {
		fmt.Fprintf(&b, ", out of %s", d.From)
	}
	if d.Stale > 0 {
		fmt.Fprintf(&b, ", STALE: what says that it is current expired %s ago", about(time.Duration(d.Stale)))
	}
	if d.Offline {
		b.WriteString(", from local state")
	}
	return b.String()
}

// givenBy lists the signers whose word was required and given, each once.
func givenBy(voices []client.VoiceMatch) []string {
	var names []string
	for _, voice := range voices {
		if !slices.Contains(names, voice.Name) {
			names = append(names, voice.Name)
		}
	}
	return names
}
