package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/policy"
)

// policyFinding is one line of policy check.
type policyFinding struct {
	File string `json:"file"`
	policy.Finding
}

func newPolicyCheck(a *app) *cobra.Command {
	var flags policyFlags
	var strict bool
	cmd := &cobra.Command{
		Use:   "check POLICY",
		Short: "Read a policy strictly, and tell what in it may not be meant",
		Long: `Read a policy, and tell each mistake with its line. Then look for what may not be
meant: rules that never decide because an earlier one does, patterns that fit
nothing, exemptions that have ended or end soon, rules that refuse nothing, ways
around. No trust server is asked, but for a policy of oci://.

Exit status: 0 it is a policy, and every rule can decide something; 1 a rule, pattern
or mirror cannot (severity error), with --strict, there is a warning, or the policy
could not be read; 2 it is no policy; 3 one of oci:// is not trusted.`,
		Example: `  signet policy check --strict policy.yaml`,
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 for warnings, too")
	flags.add(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		p, err := a.loadPolicy(ctx, args[0], flags)
		if err != nil {
			return err
		}
		counts := map[policy.Severity]int{}
		for _, finding := range p.Lint(a.now()) {
			counts[finding.Severity]++
			err := a.print(policyFinding{p.Name, finding}, func(w io.Writer) {
				fmt.Fprintf(w, "%s:%d: %s: %s\n", p.Name, finding.Line, finding.Severity, named(finding))
			})
			if err != nil {
				return err
			}
		}
		a.note("%s: %s, %s of digests", p.Name, plural(len(p.Rules), "rule"), plural(len(p.Exemptions), "exemption"))
		errs, warnings := counts[policy.SeverityError], counts[policy.SeverityWarning]
		if errs > 0 || strict && warnings > 0 {
			return fmt.Errorf("%s: %s, %s", p.Name, plural(errs, "error"), plural(warnings, "warning"))
		}
		return nil
	})
	return cmd
}

// named is a finding's text, with its rule.
func named(f policy.Finding) string {
	if f.Rule == "" {
		return f.Text
	}
	return "rule " + f.Rule + ": " + f.Text
}
