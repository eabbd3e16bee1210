package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// signedTag is one image that sign signed.
type signedTag struct {
	Image     string `json:"image"`
	Digest    string `json:"digest"`
	Reference string `json:"reference"`
}

// signResult is what sign prints for each repository.
type signResult struct {
	*client.Published
	Signed []signedTag `json:"signed"`
}

// signJob is what is to be signed in one repository, as one publish.
type signJob struct {
	request client.SignRequest
	signed  []signedTag
}

func newSign(a *app) *cobra.Command {
	var keys, extra []string
	var role string
	var expires lifeFlag
	var reg registryFlags
	cmd := &cobra.Command{
		Use:   "sign IMAGE...",
		Short: "Sign what a tag means, and publish it",
		Long: `Sign that each image's tag means the digest that the registry serves now, or the
digest that is given, and publish that. What will be signed is shown first.

Several images of one repository are one publish: all or nothing. Several
repositories are one publish each, with one PIN.

` + keyHelp,
		Example: `  signet sign registry.example.com/team/app:1.0
  signet sign registry.example.com/team/app:1.0@sha256:... --annotation commit=4f2a --yes --pin-file /run/secrets/pin`,
		Args: cobra.MinimumNArgs(1),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&extra, "annotation", nil, "add `key=value` to what is signed (may be given several times)")
	flags.StringArrayVar(&keys, "key", nil, "sign with this `KEY` (may be given several times; default: those at hand that the role lists)")
	flags.StringVar(&role, "role", "", "sign as this role: targets, or a signer's name")
	expires.add(cmd)
	reg.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		life, err := expires.life()
		if err != nil {
			return err
		}
		notes, err := parseAnnotations(extra)
		if err != nil {
			return err
		}
		images, err := a.signImages(args)
		if err != nil {
			return err
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		jobs, err := a.signJobs(ctx, images, notes, reg)
		if err != nil {
			return err
		}
		hand, err := ring.atHand(ctx, keys)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			if err := a.signOne(ctx, ring, job, hand, role, life); err != nil {
				return err
			}
		}
		return nil
	})
	return cmd
}

// signOne publishes what is to be signed in one repository.
func (a *app) signOne(ctx context.Context, ring *keyring, job *signJob, hand []foundKey, role string, life map[string]time.Duration) error {
	name := job.request.Repository
	publisher, err := a.publisher(ctx, name, ring, life)
	if err != nil {
		return err
	}
	roles, err := publisher.Roles(ctx, name)
	if err != nil {
		return err
	}
	names, chosen, err := choose(name, roles, hand, true, func(r client.SigningRole) bool {
		return r.Name == role || role == "" && r.Name != tuf.RoleRoot
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s has no signer %q: %w", name, role, tuf.ErrNotFound)
	}
	if err != nil {
		return err
	}
	job.request.Role, job.request.Signers = names[0], ring.lazy(chosen)
	published, err := publisher.Sign(ctx, job.request)
	if err != nil {
		return err
	}
	if published.Change == nil {
		a.note("%s: all of this is signed already, so nothing was published", name)
	}
	return a.print(signResult{published, job.signed}, func(w io.Writer) {
		for _, tag := range job.signed {
			fmt.Fprintf(w, "signed %s: %s\n", tag.Image, tag.Reference)
		}
	})
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
	var jobs []*signJob
	byRepository := map[string]*signJob{}
	for _, image := range images {
		asked := image
		if asked.Digest != "" {
			asked.Tag = "" // the very manifest, whatever the tag means at the registry
		}
		target, err := a.resolve(ctx, config, asked)
		if err != nil {
			return nil, err
		}
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
