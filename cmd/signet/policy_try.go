package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/policy"
)

func newPolicyTest(a *app) *cobra.Command {
	var flags policyFlags
	var admissions []string
	cmd := &cobra.Command{
		Use:   "test POLICY [IMAGE...] [--admission FILE...]",
		Short: "Try a policy against images and Kubernetes objects, as a gate would decide",
		Long: `Decide on images by a policy, as a gate would: what may run, by which rule, and under
which digest. The trust servers of the policy's anchors are asked.

With --admission, on Kubernetes objects, by the code that a gate's webhooks run: the
mutating one, and then the validating one of what that wrote. FILE is an
AdmissionReview as an API server sends it, or a manifest, whose objects are asked
about one by one, as being created. It tells what is exempt, deleted or runs already,
what a break-glass annotation lets pass although it is refused, and which images would
be pinned. An object that a gate cannot look into is refused.

Exit status: 0 all may run, 3 one is refused, 1 it could not be found out for one (and
it is refused), 2 usage, or POLICY is none.`,
		Example: `  signet policy test policy.yaml registry.example.com/team/app:1.0 alpine
  signet policy test policy.yaml --admission deployment.yaml`,
		Args: cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringArrayVar(&admissions, "admission", nil, "a `file` of Kubernetes objects, or of an AdmissionReview; may be repeated")
	flags.add(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		if len(args) == 1 && len(admissions) == 0 { // nothing tried must not read as allowed
			return usagef("policy test needs an image, or a file with --admission")
		}
		for _, arg := range args[1:] {
			if _, err := image(arg); err != nil {
				return err
			}
		}
		p, engine, err := a.policyEngine(ctx, args[0], flags)
		if err != nil {
			return err
		}
		var refused error
		for _, arg := range args[1:] {
			decision, err := engine.Decide(ctx, policy.Question{Image: arg})
			err = ofImage(args[0], decision, err)
			refused = errors.Join(refused, err)
			if err := a.printRuled(decision, decision, "", "", err); err != nil {
				return errors.Join(refused, err)
			}
		}
		for _, file := range admissions {
			refused = errors.Join(refused, a.admit(ctx, triedPolicy{args[0], p.Kubernetes(), engine}, file))
		}
		return refused
	})
	return cmd
}

// printRuled prints what a policy decided: v as JSON, or a line. where says who runs
// the image; pinned, what a gate would write in its place.
func (a *app) printRuled(v any, d *client.Decision, where, pinned string, refused error) error {
	if refused != nil {
		d.Hint = hint(refused)
	}
	a.warn(d)
	return a.print(v, func(w io.Writer) {
		run := ""
		switch {
		case refused == nil && pinned != "":
			run = ", pinned as " + pinned
		case refused == nil:
			run = ", run " + runs(d)
		}
		fmt.Fprintf(w, "%s %s%s: %s%s\n", verdict(d), where, d.Image, ruled(d), run)
	})
}
