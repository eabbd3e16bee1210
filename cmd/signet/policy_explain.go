package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// policyExplained is what policy explain prints.
type policyExplained struct {
	Steps    []policy.Step    `json:"steps"`
	Decision *client.Decision `json:"decision"`
}

func newPolicyExplain(a *app) *cobra.Command {
	var flags policyFlags
	cmd := &cobra.Command{
		Use:   "explain POLICY IMAGE",
		Short: "Tell which rule of a policy decides on an image, why the others do not, and what comes of it",
		Long: `Tell which rule of a policy decides on an image, why the others do not, what the rule
demands, and what comes of it.

Exit status: 0 it may run, 3 it is refused, 1 it could not be found out (and is
refused), 2 usage, or POLICY is none.`,
		Example: `  signet policy explain policy.yaml registry.example.com/team/app:1.0`,
		Args:    cobra.ExactArgs(2),
	}
	flags.add(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		image, err := image(args[1])
		if err != nil {
			return err
		}
		image = a.tagged(image)
		p, engine, err := a.policyEngine(ctx, args[0], flags)
		if err != nil {
			return err
		}
		decision, refused := engine.Decide(ctx, policy.Question{Image: image.String()})
		if refused != nil {
			refused = ofImage(args[0], decision, refused)
			if rule := tuf.RuleOf(refused); rule == tuf.RulePolicy || rule == tuf.RulePlatform {
				refused = advise(refused, "whoever keeps the policy can add a rule or change one: see why each does not fit, or what the one that decides demands")
			}
			decision.Hint = hint(refused)
		}
		explained := policyExplained{Steps: p.Explain(image), Decision: decision}
		err = a.print(explained, func(w io.Writer) {
			fmt.Fprintln(w, image)
			for _, step := range explained.Steps {
				fmt.Fprintf(w, "  rule %s (%s:%d) %s\n", step.Rule, p.Name, step.Line, step.Why)
				for _, demand := range step.Demands {
					fmt.Fprintf(w, "    %s\n", demand)
				}
			}
			fmt.Fprintf(w, "%s: %s\n", verdict(decision), ruled(decision))
			if decision.Trusted {
				fmt.Fprintf(w, "  %s\n", a.explain(decision))
			}
			if run := runs(decision); refused == nil {
				fmt.Fprintf(w, "  run %s\n", run)
			}
		})
		if err != nil {
			return err
		}
		a.warn(decision)
		return refused
	})
	return cmd
}

// policyEngine gets the policy that an argument names, and what decides by it.
func (a *app) policyEngine(ctx context.Context, where string, flags policyFlags) (*policy.Policy, *policy.Engine, error) {
	p, err := a.loadPolicy(ctx, where, flags)
	if err != nil {
		return nil, nil, err
	}
	verifier, err := a.verifier()
	if err != nil {
		return nil, nil, err
	}
	engine, err := a.judge(p, verifier, flags)
	return p, engine, err
}

// warn says on stderr what a policy has to say to whoever asked.
func (a *app) warn(d *client.Decision) {
	if d.Policy == nil {
		return
	}
	for _, warning := range d.Policy.Warnings {
		a.note("warning: %s", warning)
	}
}

// verdict is one word for what a policy decided.
func verdict(d *client.Decision) string {
	if d.Policy.Allowed {
		return "allowed"
	}
	return "refused"
}
