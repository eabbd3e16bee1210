package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/policies"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// policyPushed is what policy push prints.
type policyPushed struct {
	Image     string `json:"image"`
	Digest    string `json:"digest"`
	Reference string `json:"reference"`
}

func newPolicyPush(a *app) *cobra.Command {
	var flags registryFlags
	cmd := &cobra.Command{
		Use:   "push FILE IMAGE",
		Short: "Put a policy into a registry, to be signed as an image is",
		Long: `Check a policy and put it into a registry under IMAGE, a repository with a tag, as an
artifact of the type ` + policies.Kind + `. It counts for nobody
before it is signed: signet sign IMAGE. Whoever then takes it from oci://IMAGE trusts
it by the trust anchors of that machine.

It has to say everything itself: keys and certificates that the policy names as files
would not be there.`,
		Example: `  signet policy push policy.yaml registry.example.com/team/policy:production
  signet sign registry.example.com/team/policy:production
  signet verify --policy oci://registry.example.com/team/policy:production alpine:3.20`,
		Args: cobra.ExactArgs(2),
	}
	flags.add(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		image, err := image(args[1])
		if err != nil {
			return err
		}
		if image.Tag == "" || image.Digest != "" {
			return usagef("%s: a policy is pushed under a tag, and under no digest", args[1])
		}
		data, err := policy.ReadFile(args[0])
		if err != nil {
			return err
		}
		if _, err := policy.Read(data, args[0]); err != nil {
			return brokenPolicy(err)
		}
		config, err := a.registry(flags)
		if err != nil {
			return err
		}
		digest, err := config.PushArtifact(ctx, image, policies.Kind, filepath.Base(args[0]), data)
		if err != nil {
			return fmt.Errorf("push %s: %w", image, err)
		}
		a.note("it counts for nobody before it is signed: signet sign %s", image)
		pushed := policyPushed{Image: image.String(), Digest: digest, Reference: tuf.Image{Repository: image.Repository, Digest: digest}.String()}
		return a.print(pushed, func(w io.Writer) { fmt.Fprintln(w, pushed.Reference) })
	})
	return cmd
}
