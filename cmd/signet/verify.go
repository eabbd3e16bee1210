package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/client/registry"
	"github.com/signet-trust/signet/imagefile"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// verifyFlags are verify's own flags.
type verifyFlags struct {
	quiet, offline, compare, firstUse bool
	ca, from                          string
	jobs                              int
	registry                          registryFlags
	files                             fileFlags
	policy                            string
	judge                             *policy.Engine // of that policy, or nil
}

func newVerify(a *app) *cobra.Command {
	var flags verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [IMAGE...] [-f FILE...]",
		Short: "Tell which digest a name means, and refuse what is not signed",
		Long: `Tell what each image's name means, and refuse what is not signed. The trust server
is asked, never the registry: a tag means what was signed, and the reference that
is printed pulls the image by its digest.

  REPO:TAG          which digest is signed under the tag?
  REPO@DIGEST       under which tags is the digest trusted, now or from before?
  REPO:TAG@DIGEST   is the digest trusted under the tag, and is it the current one?

Without tag and digest, the tag is latest.

With -f, every image that a file names is verified: Kubernetes manifests, compose
files, Dockerfiles, and lists of one reference a line. --pin then writes the digests
into them, once all are trusted. A file that cannot be read, that names no image, or
in which one cannot be told, is never a yes.

With --policy, a policy decides which images may run and what must hold of them:
docs/policy.md. What it lets pass untrusted is told, and is a yes; the line on
standard output is then the name that was asked for.

Exit status: 0 all are trusted (or may run, by the policy), 3 one is not, 1 it could
not be found out for one, 2 usage.`,
		Example: `  docker pull $(signet verify -q registry.example.com/team/app:1.0)
  signet verify --output json registry.example.com/team/app@sha256:...
  signet verify -f deployment.yaml -f Dockerfile
  docker compose config | signet verify -f -`,
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "print the pinned references only, and nothing unless all are trusted")
	f.BoolVar(&flags.offline, "offline", false, "answer from what was verified before, while that has not expired")
	f.StringVar(&flags.from, "from", "", "answer out of the `folder` that signet export wrote, without asking a server")
	f.BoolVar(&flags.compare, "compare", false, "also ask the registry what it serves; 3 is the answer when that differs")
	f.BoolVar(&flags.firstUse, "trust-on-first-use", false, "for a name without an anchor, trust what the server shows now, and remember it")
	f.StringVar(&flags.ca, "ca", "", "with --trust-on-first-use: PEM `file` of the only authorities that may vouch for the server")
	f.StringVar(&flags.policy, "policy", "", "decide by this policy: a `file`, or oci://REPO:TAG, which is signed as an image is")
	f.IntVar(&flags.jobs, "jobs", 8, "how many images are asked about at once")
	flags.files.add(f)
	flags.registry.add(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		if err := flags.check(args); err != nil {
			return err
		}
		var subjects []*subject
		for _, arg := range args { // all are read first, so that a typing error asks nobody anything
			image, err := image(arg)
			if err != nil {
				return err
			}
			subjects = append(subjects, &subject{image: a.tagged(image)})
		}
		files, err := a.readFiles(flags.files)
		if len(files) == 0 && err != nil {
			return errors.Join(err, flags.files.report(nil, err))
		}
		for _, file := range files {
			subjects = append(subjects, a.subjects(file)...)
		}
		return a.verify(ctx, subjects, files, err, flags)
	})
	return cmd
}

// check refuses flags that do not go together.
func (flags *verifyFlags) check(args []string) error {
	switch {
	case len(args) == 0 && len(flags.files.paths) == 0: // nothing checked must not read as trusted
		return usagef("verify needs an image, or a file with -f")
	case flags.from != "" && (flags.offline || flags.firstUse):
		return usagef("--from says where the metadata is read: neither --offline nor --trust-on-first-use goes with it")
	case flags.policy != "" && flags.firstUse:
		return usagef("--policy says whom to trust: --trust-on-first-use does not go with it")
	case flags.jobs < 1 || flags.jobs > 64:
		return usagef("--jobs %d: expected 1 to 64", flags.jobs)
	}
	return flags.files.check()
}

// tagged is image, with the tag that is meant when there is neither tag nor digest.
func (a *app) tagged(image tuf.Image) tuf.Image {
	if image.Tag == "" && image.Digest == "" {
		image.Tag = "latest"
		a.note("%s has no tag: latest is meant", image.Repository)
	}
	return image
}

// A subject is one image to verify, and where it was named.
type subject struct {
	image tuf.Image
	place *place // in a file; nil for an argument
	err   error  // why nobody can ask about it
}

// An answer is what verifying a subject came to. The decision is never nil.
type answer struct {
	decision *client.Decision
	err      error
	took     time.Duration
}

// verify answers for all subjects, in order, and goes on after a refusal, so that
// one run tells everything. files are those that subjects come from, and unread is
// what was wrong with others.
func (a *app) verify(ctx context.Context, subjects []*subject, files []*imagefile.File, unread error, flags verifyFlags) (err error) {
	// A report that an earlier run left must not stand for one that did not get far.
	early := func(err error) error {
		return errors.Join(err, flags.files.report(nil, errors.Join(unread, err)))
	}
	verifier, err := a.verifier()
	if err != nil {
		return early(err)
	}
	asks := policy.Verifier(verifier)
	if len(subjects) > 1 && !flags.firstUse {
		// Images of one repository share one update, and one answer of its server.
		watcher := client.NewWatcher(verifier, client.WatchConfig{Refresh: time.Hour, Negative: time.Minute, MaxAnswers: len(subjects)})
		defer func() { err = errors.Join(err, watcher.Close()) }()
		asks = watcher
	}
	if flags.policy != "" {
		asked := policyFlags{offline: flags.offline, from: flags.from, registry: flags.registry}
		p, err := a.loadPolicy(ctx, flags.policy, asked)
		if _, isPath := errors.AsType[*fs.PathError](err); isPath {
			err = fmt.Errorf("--policy %s: %w", flags.policy, reading(err))
		}
		if err != nil {
			return early(err)
		}
		if flags.judge, err = a.judge(p, asks, asked); err != nil {
			return early(err)
		}
	}
	refused := unread
	var answers []*answer
	err = a.decideAll(ctx, verifier, asks, subjects, flags, func(s *subject, answer *answer) error {
		answers = append(answers, answer)
		refused = errors.Join(refused, answer.err)
		a.report(answer.err) // in its place among what is trusted
		a.debug("%s: looked at %s in %s", answer.decision.Image, versions(answer.decision.Versions), answer.took.Round(time.Millisecond))
		if flags.quiet || flags.files.toStdout() {
			return nil
		}
		return a.printAnswer(s, answer.decision, false)
	})
	refused = errors.Join(refused, err, flags.files.report(results(subjects, answers), unread))
	switch {
	case refused != nil && flags.files.pin:
		return errors.Join(refused, errors.New("no file was written: digests are pinned only when every image is trusted"))
	case refused != nil:
		return refused
	case flags.files.pin:
		if err := a.pinFiles(files, flags.files.paths, subjects, answers); err != nil {
			return err
		}
	}
	if !flags.quiet || flags.files.toStdout() {
		return nil
	}
	for i, answer := range answers { // with -q nothing is printed unless all are trusted: a pipe ignores exit codes
		if err := a.printAnswer(subjects[i], answer.decision, true); err != nil {
			return err
		}
	}
	return nil
}

// decideAll answers for all subjects, several at once, and tells each answer in
// their order. What is named more than once is asked once.
func (a *app) decideAll(ctx context.Context, verifier *client.Client, asks policy.Verifier, subjects []*subject, flags verifyFlags, tell func(*subject, *answer) error) error {
	type asked struct {
		*answer
		subject *subject
		done    chan struct{}
	}
	questions := map[tuf.Image]*asked{}
	var queue []*asked
	for _, s := range subjects {
		if _, ok := questions[s.image]; !ok && s.err == nil {
			q := &asked{subject: s, done: make(chan struct{})}
			questions[s.image] = q
			queue = append(queue, q)
		}
	}
	progress, end := a.startProgress()
	defer end()
	if flags.firstUse {
		flags.jobs = 1 // each may add an anchor
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	work := make(chan *asked)
	for range min(flags.jobs, len(queue)) {
		workers.Go(func() {
			for q := range work {
				started := a.now()
				decision, err := a.decide(ctx, verifier, asks, q.subject.image, flags)
				q.answer = &answer{decision, err, a.now().Sub(started)}
				close(q.done)
			}
		})
	}
	go func() {
		defer close(work)
		for _, q := range queue {
			work <- q
		}
	}()
	for i, s := range subjects {
		if len(queue) > 1 {
			progress.step("verifying", i+1, len(subjects), s.String())
		}
		told := &answer{err: s.err}
		if s.err == nil {
			q := questions[s.image]
			<-q.done
			told = q.answer
		}
		if err := tell(s, s.answer(told, flags.policy)); err != nil {
			return err
		}
	}
	return nil
}

// decide answers for one image, by what asks. The decision is never nil.
func (a *app) decide(ctx context.Context, verifier *client.Client, asks policy.Verifier, image tuf.Image, flags verifyFlags) (*client.Decision, error) {
	undecided := func(err error) (*client.Decision, error) {
		return &client.Decision{Image: image.String(), Repository: image.Repository, Tag: image.Tag, Signers: []string{},
			Rule: tuf.RuleOf(err), Reason: sentence(err), Offline: flags.offline}, err
	}
	if err := ctx.Err(); err != nil {
		return undecided(err)
	}
	if flags.judge != nil {
		return a.judged(ctx, image, flags)
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
		if asks, err = a.verifier(); err != nil {
			return undecided(err)
		}
	}
	decision, err := asks.Verify(ctx, image, options)
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

// printAnswer prints one answer: as text the pinned reference, and on stderr
// what stands behind it. The text of a refusal is the error's.
func (a *app) printAnswer(s *subject, d *client.Decision, quiet bool) error {
	if a.output != outputJSON && !d.Allowed() {
		return nil
	}
	switch {
	case a.output == outputJSON: // it says so itself
	case d.Trusted && quiet:
		a.noteStale(s.where()+d.Image, d.Stale)
	case d.Trusted:
		a.note("%s%s", s.where(), a.explain(d))
	}
	if a.output != outputJSON && d.Policy != nil && (!d.Trusted || !quiet) {
		a.notePolicy(s, d)
	}
	var v any = d
	if s.place != nil {
		v = located{File: s.place.file.Name, Line: s.place.use().Line, Use: s.place.use().What, Decision: d}
	}
	return a.print(v, func(w io.Writer) { fmt.Fprintln(w, runs(d)) })
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
	if d.Expires != nil && d.Stale == 0 {
		fmt.Fprintf(&b, ", good until %s (%s)", stamp(*d.Expires), until(a.now(), *d.Expires))
	}
	if d.From != "" {
		fmt.Fprintf(&b, ", out of %s", d.From)
	}
	if d.Stale > 0 {
		fmt.Fprintf(&b, ", %s", stale(d.Stale))
	}
	if d.Offline {
		b.WriteString(", from local state")
	}
	return b.String()
}

// stale says how old an answer is that stands on what has expired.
func stale(late client.Duration) string {
	return fmt.Sprintf("STALE: what says that it is current expired %s ago", about(time.Duration(late)))
}

// noteStale says so beside an answer that has no place for it: nobody is to take what
// an anchor lets pass for what is current, whatever was asked and however quietly.
func (a *app) noteStale(what string, late client.Duration) {
	if late > 0 {
		a.note("%s: %s", what, stale(late))
	}
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
