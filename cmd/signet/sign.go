package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/client/registry"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// signedTag is one image that sign signed.
type signedTag struct {
	Image     string `json:"image"`
	Digest    string `json:"digest"`
	Reference string `json:"reference"`
}

// signResult is what sign prints for each repository, as soon as it is published.
type signResult struct {
	*client.Published
	Signed []signedTag `json:"signed"`
}

// signJob is what is to be signed in one repository, as one publish.
type signJob struct {
	request client.SignRequest
	signed  []signedTag
}

// signFlags are sign's own flags.
type signFlags struct {
	keys, annotations []string
	as                string
	expires           lifeFlag
	registry          registryFlags
}

func newSign(a *app) *cobra.Command {
	var f signFlags
	cmd := &cobra.Command{
		Use:   "sign IMAGE...",
		Short: "Sign what a tag means, and publish it",
		Long: `Sign that each image's tag means the digest that the registry serves now, or the
digest that is given, and publish that. All of it is shown first, before one
question, one PIN for each YubiKey, and as many touches as are told beforehand.

Several images of one repository are one publish: all or nothing. Several
repositories are one publish each, in their order; when one fails, those after it
are not tried, and the same command again leaves alone what is published.

` + keyHelp,
		Example: `  signet sign registry.example.com/team/app:1.0
  signet sign registry.example.com/team/app:1.0 registry.example.com/team/db:7 --as release
  signet sign registry.example.com/team/app:1.0@sha256:... --annotation commit=4f2a --yes --pin-file /run/secrets/pin`,
		Args: cobra.MinimumNArgs(1),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.annotations, "annotation", nil, "add `key=value` to what is signed (may be given several times)")
	flags.StringArrayVar(&f.keys, "key", nil, "sign with this `KEY` (may be given several times; default: those at hand that the role lists)")
	flags.StringVar(&f.as, "as", "", "sign as this signer, by `NAME`, or as targets (default: the first whose keys are at hand)")
	flags.StringVar(&f.as, "role", "", "the same as --as")
	flags.Lookup("role").Hidden = true
	f.expires.add(cmd)
	f.registry.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		notes, err := parseAnnotations(f.annotations)
		if err != nil {
			return err
		}
		images, err := a.signImages(args)
		if err != nil {
			return err
		}
		return a.sign(ctx, images, notes, f)
	})
	return cmd
}

// sign resolves, prepares and shows all, asks once, and publishes one repository
// after the other.
func (a *app) sign(ctx context.Context, images []tuf.Image, notes map[string]string, f signFlags) error {
	if f.as == tuf.RoleRoot {
		return usagef("--as root: root signs no tags; expected targets, or a signer's name")
	}
	life, err := f.expires.life()
	if err != nil {
		return err
	}
	ring, err := a.keyring()
	if err != nil {
		return err
	}
	defer ring.Close()
	jobs, err := a.signJobs(ctx, images, notes, f.registry)
	if err != nil {
		return err
	}
	return a.signAll(ctx, ring, jobs, f, life)
}

// signAll prepares and shows all, asks once, and publishes.
func (a *app) signAll(ctx context.Context, ring *keyring, jobs []*signJob, f signFlags, life map[string]time.Duration) error {
	var hand []foundKey
	var err error
	complete := len(f.keys) > 0 || a.propose != nil // nobody says which keys are lacking then
	if complete {
		hand, err = ring.atHand(ctx, f.keys)
	} else if hand, complete, err = ring.likely(ctx); err == nil {
		hand = unique(hand)
	}
	if err != nil {
		return err
	}
	b := &batch{ring: ring}
	for _, job := range jobs {
		step, err := a.prepareSign(ctx, ring, job, hand, f.as, life)
		if errors.Is(err, client.ErrKeys) && !complete {
			complete = true
			if hand, err = ring.atHand(ctx, nil); err == nil {
				step, err = a.prepareSign(ctx, ring, job, hand, f.as, life)
			}
		}
		if err != nil {
			return err
		}
		b.steps = append(b.steps, step)
	}
	if err := b.agree(ctx); err != nil {
		return err
	}
	return b.publish(ctx, false, func(i int, published *client.Published) error {
		if published.Change == nil {
			a.note("%s: all of this is signed already, so nothing was published", published.Repository)
		}
		return a.print(signResult{published, jobs[i].signed}, func(w io.Writer) {
			for _, tag := range jobs[i].signed {
				fmt.Fprintf(w, "signed %s: %s\n", tag.Image, tag.Reference)
			}
		})
	})
}

// prepareSign prepares what is to be signed in one repository.
func (a *app) prepareSign(ctx context.Context, ring *keyring, job *signJob, hand []foundKey, as string, life map[string]time.Duration) (*client.Prepared, error) {
	name := job.request.Repository
	publisher, err := a.publisher(ctx, name, ring, life)
	if err != nil {
		return nil, err
	}
	if err := a.may(ctx, publisher, name, api.ScopePublish); err != nil {
		return nil, err
	}
	roles, err := publisher.Roles(ctx, name)
	if err != nil {
		return nil, err
	}
	if a.propose != nil && as == "" {
		as = proposedRole(roles, hand)
	}
	err = advise(fmt.Errorf("%s has no signer %q: %w", name, clip(as, 100), tuf.ErrNotFound), "signet signer list %s shows them", name)
	tried := false
	for _, role := range roles {
		if role.Name != as && (as != "" || role.Name == tuf.RoleRoot) {
			continue
		}
		chosen, ok := a.pick(hand, role)
		if !ok {
			if !tried {
				tried, err = true, tooFew(name, role, hand)
			}
			continue
		}
		job.request.Role, job.request.Signers = role.Name, ring.lazy(chosen)
		step, prepareErr := publisher.PrepareSign(ctx, job.request)
		if tuf.RuleOf(prepareErr) != tuf.RulePath { // else another signer may be the one for these tags
			return step, prepareErr
		}
		tried, err = true, prepareErr
	}
	return nil, err
}

// signImages reads the IMAGE arguments of sign.
func (a *app) signImages(args []string) ([]tuf.Image, error) {
	var images []tuf.Image
	seen := map[string]bool{}
	for _, arg := range args {
		image, err := image(arg)
		if err != nil {
			return nil, err
		}
		if image.Tag == "" && image.Digest != "" {
			return nil, advise(usagef("%s has no tag: what is signed is what a tag means", image), "add the tag: %s:TAG@%s", image.Repository, image.Digest)
		}
		if image.Tag == "" {
			image.Tag = "latest"
			a.note("%s has no tag: latest is meant", image.Repository)
		}
		path := tuf.TagPath(image.Repository, image.Tag)
		if seen[path] {
			return nil, usagef("%s is given twice", path)
		}
		seen[path] = true
		images = append(images, image)
	}
	return images, nil
}

// signJobs asks the registry what each image is, all before anything is signed.
func (a *app) signJobs(ctx context.Context, images []tuf.Image, notes map[string]string, reg registryFlags) ([]*signJob, error) {
	config, err := a.registry(reg)
	if err != nil {
		return nil, err
	}
	targets, err := a.resolveAll(ctx, config, images)
	if err != nil {
		return nil, err
	}
	var jobs []*signJob
	byRepository := map[string]*signJob{}
	for i, image := range images {
		target := targets[i]
		if image.Digest != "" && target.Digest != image.Digest {
			return nil, fmt.Errorf("the registry answered with %s when asked for %s", target.Digest, image.Digest)
		}
		target.Annotations = notes
		job := byRepository[image.Repository]
		if job == nil {
			job = &signJob{request: client.SignRequest{Repository: image.Repository}}
			byRepository[image.Repository] = job
			jobs = append(jobs, job)
		}
		job.request.Tags = append(job.request.Tags, client.TagTarget{Tag: image.Tag, Target: target})
		job.signed = append(job.signed, signedTag{
			Image:     tuf.TagPath(image.Repository, image.Tag),
			Digest:    target.Digest,
			Reference: tuf.Image{Repository: image.Repository, Digest: target.Digest}.String(),
		})
	}
	return jobs, nil
}

// resolveAll asks the registries for images, some at a time. The first that cannot
// be had, in their order, is the error.
func (a *app) resolveAll(ctx context.Context, config registry.Config, images []tuf.Image) ([]tuf.Target, error) {
	targets, unread, errs := make([]tuf.Target, len(images)), make([]error, len(images)), make([]error, len(images))
	room := make(chan struct{}, 4)
	var all sync.WaitGroup
	for i, image := range images {
		if image.Digest != "" {
			image.Tag = "" // the very manifest, whatever the tag means at the registry
		}
		all.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			targets[i], unread[i], errs[i] = a.resolve(ctx, config, image)
		})
	}
	all.Wait()
	for i, err := range unread {
		if err != nil {
			a.note("%s: no platforms are signed with it, so a policy that asks for one will refuse it: %v", images[i], err)
		}
	}
	return targets, cmp.Or(errs...)
}

// parseAnnotations reads --annotation.
func parseAnnotations(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	m := map[string]string{}
	for _, item := range list {
		k, v, ok := strings.Cut(item, "=")
		if !ok || k == "" {
			return nil, usagef("--annotation %q: expected key=value", item)
		}
		if _, twice := m[k]; twice {
			return nil, usagef("--annotation %s is given twice", k)
		}
		m[k] = v
	}
	return m, nil
}
