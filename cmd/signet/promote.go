package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func newPromote(a *app) *cobra.Command {
	var f signFlags
	var from string
	var offline, unseen bool
	cmd := &cobra.Command{
		Use:   "promote SOURCE DESTINATION",
		Short: "Verify an image under one name, and sign the same digest under another",
		Long: `Verify SOURCE as signet verify does, and sign the very digest that it means under
DESTINATION: for images that are moved between registries or repositories. A source
that is not trusted is not promoted (exit status 3). What the source's publisher
added to it goes along; --annotation adds to that.

The image itself is moved by other tools. The destination's registry is asked
whether it has that digest, unless --unseen says not to. Without a tag the
destination's is the source's.

` + keyHelp,
		Example: `  signet promote registry.example.com/dev/app:1.0 registry.example.org/prod/app
  signet promote registry.example.com/dev/app:rc3 registry.example.com/prod/app:1.0 --as release`,
		Args: cobra.ExactArgs(2),
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "verify the source out of the `folder` that signet export wrote")
	flags.BoolVar(&offline, "offline", false, "verify the source by what was verified before")
	flags.BoolVar(&unseen, "unseen", false, "sign without asking the destination's registry whether it has the image")
	flags.StringArrayVar(&f.annotations, "annotation", nil, "add `key=value` to what is signed (may be given several times)")
	flags.StringArrayVar(&f.keys, "key", nil, "sign with this `KEY` (may be given several times; default: those at hand that the role lists)")
	flags.StringVar(&f.as, "as", "", "sign as this signer, by `NAME`, or as targets (default: the first whose keys are at hand)")
	f.expires.add(cmd)
	f.registry.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		notes, err := parseAnnotations(f.annotations)
		if err != nil {
			return err
		}
		source, err := image(args[0])
		if err != nil {
			return err
		}
		if source.Tag == "" && source.Digest == "" {
			return usagef("%s has neither a tag nor a digest: say what is to be promoted", source)
		}
		destination, err := image(args[1])
		if err != nil {
			return err
		}
		if destination.Tag == "" {
			destination.Tag = source.Tag
		}
		switch {
		case destination.Digest != "":
			return usagef("%s has a digest: it is the source that says which", destination)
		case destination.Tag == "":
			return usagef("%s has no tag, and neither has the source: say which", destination)
		case destination.Repository == source.Repository && destination.Tag == source.Tag:
			return usagef("source and destination are the same")
		case offline && from != "":
			return usagef("--offline and --from do not go together")
		}
		return a.promote(ctx, source, destination, notes, f, verifyFlags{offline: offline, from: from}, unseen)
	})
	return cmd
}

// promote verifies, asks the destination's registry, and signs.
func (a *app) promote(ctx context.Context, source, destination tuf.Image, notes map[string]string, f signFlags, how verifyFlags, unseen bool) error {
	life, err := f.expires.life()
	if err != nil {
		return err
	}
	verifier, err := a.verifier()
	if err != nil {
		return err
	}
	decision, err := a.decide(ctx, verifier, verifier, source, how)
	if err != nil {
		return err
	}
	a.note("%s", a.explain(decision))
	target := tuf.Target{Digest: decision.Digest, Length: decision.Length, MediaType: decision.MediaType, Annotations: decision.Annotations, Platforms: decision.Platforms}
	for k, v := range notes {
		if target.Annotations == nil {
			target.Annotations = map[string]string{}
		}
		target.Annotations[k] = v
	}
	at := tuf.Image{Repository: destination.Repository, Digest: decision.Digest}
	if !unseen {
		if err := a.arrived(ctx, at, target, f); err != nil {
			return err
		}
	}
	ring, err := a.keyring()
	if err != nil {
		return err
	}
	defer ring.Close()
	job := &signJob{
		request: client.SignRequest{Repository: destination.Repository, Tags: []client.TagTarget{{Tag: destination.Tag, Target: target}}},
		signed:  []signedTag{{Image: tuf.TagPath(destination.Repository, destination.Tag), Digest: decision.Digest, Reference: at.String()}},
	}
	return a.signAll(ctx, ring, []*signJob{job}, f, life)
}

// arrived refuses an image that the destination's registry does not have, or has with
// another length than was signed.
func (a *app) arrived(ctx context.Context, at tuf.Image, target tuf.Target, f signFlags) error {
	config, err := a.registry(f.registry)
	if err != nil {
		return err
	}
	served, err := config.Resolve(ctx, at)
	if errors.Is(err, tuf.ErrNotFound) {
		return advise(fmt.Errorf("the destination's registry has no %s: %w", at, tuf.ErrNotFound), "copy the image first, byte for byte; --unseen signs all the same")
	}
	if err != nil {
		return fmt.Errorf("ask the registry for %s: %w", at, err)
	}
	if served.Digest != target.Digest || served.Length != target.Length {
		return fmt.Errorf("the destination's registry serves %s with %d bytes, and %s with %d bytes is what was signed", served.Digest, served.Length, target.Digest, target.Length)
	}
	return nil
}
