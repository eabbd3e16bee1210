package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/cmd/internal/policies"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

func newPolicy(a *app) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "policy",
		Short: "Check a policy, try it, and publish it",
		Long: `A policy says which images may run and what must hold of them: docs/policy.md. It
is a file, or an artifact in a registry (oci://REPO:TAG) that is signed as an image
is; who may sign that one is for the trust anchors of this machine to say.`,
	}, a)
	cmd.AddCommand(newPolicyCheck(a), newPolicyTest(a), newPolicyExplain(a), newPolicySchema(a), newPolicyPush(a))
	return cmd
}

// policyFlags say where a policy's answers come from.
type policyFlags struct {
	offline  bool
	from     string
	registry registryFlags
}

func (f *policyFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.offline, "offline", false, "answer from what was verified before, while that has not expired")
	f.registry.add(cmd)
}

// loadPolicy gets the policy that an argument or flag names. A file that is none is a
// mistake in what was asked for: trying again mends nothing.
func (a *app) loadPolicy(ctx context.Context, where string, flags policyFlags) (*policy.Policy, error) {
	source := policies.Source{Offline: flags.offline, From: flags.from, Cache: filepath.Join(a.stateDir, "policies")}
	if strings.HasPrefix(where, policies.Scheme) {
		verifier, err := a.verifier()
		if err != nil {
			return nil, err
		}
		source.Verifier = verifier
		if source.Registry, err = a.registry(flags.registry); err != nil {
			return nil, err
		}
	}
	loaded, err := source.Load(ctx, where)
	if _, isFile := errors.AsType[*policy.FileError](err); isFile {
		return nil, brokenPolicy(err)
	}
	if err != nil {
		return nil, err
	}
	if d := loaded.Decision; d != nil {
		a.debug("policy: %s", a.explain(d))
	}
	return loaded.Policy, nil
}

// brokenPolicy gives each mistake of a file its line, and one hint.
func brokenPolicy(err error) error {
	var all error
	for _, err := range flatten(err) {
		all = errors.Join(all, &usageError{advise(err, "docs/policy.md has every key; signet policy schema prints the schema for editors")})
	}
	return all
}

// judge returns what decides by a policy.
func (a *app) judge(p *policy.Policy, verifier policy.Verifier, flags policyFlags) (*policy.Engine, error) {
	if a.server != "" {
		return nil, usagef("--server: a policy says by its anchors which servers are asked")
	}
	anchors, err := a.anchors()
	if err != nil {
		return nil, err
	}
	return policy.New(policy.Config{Policy: p, Verifier: verifier, Anchors: anchors, Now: a.now, Offline: flags.offline, From: flags.from}), nil
}

// judged answers for one image of verify's, by the policy.
func (a *app) judged(ctx context.Context, image tuf.Image, flags verifyFlags) (*client.Decision, error) {
	decision, err := flags.judge.Decide(ctx, policy.Question{Image: image.String()})
	if rule := decision.Policy.Rule; rule != "" {
		err = each(err, func(err error) error {
			if strings.Contains(err.Error(), "(policy: ") { // of which one says so itself
				return err
			}
			return fmt.Errorf("%w (policy rule %s)", err, rule)
		})
	}
	if err != nil || !flags.compare || !decision.Trusted {
		return decision, err
	}
	if err := a.compare(ctx, decision, flags.registry); err != nil {
		decision.Trusted, decision.Reference, decision.Policy.Allowed = false, "", false
		decision.Rule, decision.Reason = tuf.RuleOf(err), sentence(err)
		return decision, err
	}
	return decision, nil
}

// notePolicy says on stderr by what a policy lets an image run.
func (a *app) notePolicy(s *subject, d *client.Decision) {
	a.note("%s%s %s: %s", s.where(), verdict(d), d.Image, ruled(d))
	if d.Trusted {
		a.warn(d)
	}
}

// runs is what to run an image by that a policy lets pass: the digest, where one is
// trusted or was asked for, or else the name, which may come to mean anything.
func runs(d *client.Decision) string {
	if d.Reference != "" {
		return d.Reference
	}
	asked, err := tuf.ParseImage(d.Image)
	if d.Policy != nil && d.Policy.Asked != "" {
		asked, err = tuf.ParseImage(d.Policy.Asked)
	}
	if err != nil {
		return ""
	}
	return asked.String()
}

// ruled says in a few words by what a policy decided.
func ruled(d *client.Decision) string {
	switch r := d.Policy; {
	case r.Exempt != "":
		return fmt.Sprintf("exempt until %s: %s", r.Until, r.Exempt)
	case r.Allowed && !d.Trusted:
		return fmt.Sprintf("rule %s, mode %s, lets it pass: %s", r.Rule, r.Mode, d.Reason)
	case r.Rule == "":
		return "no rule fits"
	}
	return "rule " + d.Policy.Rule
}
