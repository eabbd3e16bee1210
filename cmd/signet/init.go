package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

func newInit(a *app) *cobra.Command {
	var rootKeys, targetsKeys []string
	var rootThreshold, targetsThreshold int
	var expires lifeFlag
	var roots attestationRoots
	cmd := &cobra.Command{
		Use:   "init REPO --root-key KEY... --targets-key KEY...",
		Short: "Create the trust repository of an image repository",
		Long: `Create the trust repository of an image repository: a root that says whose keys
count, and an empty list of targets. Root keys replace all others, and each other;
keep them apart and rarely used. Targets keys sign images.

With a threshold, as many keys sign as it says, in one sitting: their YubiKeys are
plugged in together, or one after the other as signet asks for them. That a key was
made on a YubiKey is proved by an attestation, which goes into the root.

This machine then trusts the new root for this very name.

` + keyHelp,
		Example: `  signet init registry.example.com/team/app --root-key root-1 --root-key root-2 --targets-key ci
  signet init registry.example.com/team/app --root-key yk1 --root-key yk2 --root-key yk3 --root-threshold 2 --targets-key ci`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&rootKeys, "root-key", nil, "a root `KEY` (may be given several times)")
	flags.StringArrayVar(&targetsKeys, "targets-key", nil, "a targets `KEY` (may be given several times)")
	flags.IntVar(&rootThreshold, "root-threshold", 1, "how many root keys must sign a root")
	flags.IntVar(&targetsThreshold, "targets-threshold", 1, "how many targets keys must sign targets")
	expires.add(cmd)
	roots.add(cmd)
	a.secretFlags(cmd)
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		name, err := repository(args[0])
		if err != nil {
			return err
		}
		if len(rootKeys) == 0 || len(targetsKeys) == 0 {
			return advise(usagef("a repository has at least one --root-key and one --targets-key"), "signet key generate makes keys, signet key list shows them")
		}
		if rootThreshold < 1 || rootThreshold > len(rootKeys) {
			return usagef("--root-threshold %d with %s: expected 1 to %d", rootThreshold, plural(len(rootKeys), "root key"), len(rootKeys))
		}
		if targetsThreshold < 1 || targetsThreshold > len(targetsKeys) {
			return usagef("--targets-threshold %d with %s: expected 1 to %d", targetsThreshold, plural(len(targetsKeys), "targets key"), len(targetsKeys))
		}
		life, err := expires.life()
		if err != nil {
			return err
		}
		trusted, err := roots.load()
		if err != nil {
			return err
		}
		if err := a.notPinned(name); err != nil {
			return err
		}
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		publisher, err := a.publisher(ctx, name, ring, life)
		if err != nil {
			return err
		}
		if err := a.may(ctx, publisher, name, api.ScopeCreate); err != nil {
			return err
		}
		request := client.InitRequest{Repository: name, Attestations: map[string][]string{}}
		if request.Root, err = ring.roleKeys(ctx, "--root-key", rootKeys, rootThreshold, request.Attestations); err != nil {
			return err
		}
		if request.Targets, err = ring.roleKeys(ctx, "--targets-key", targetsKeys, targetsThreshold, request.Attestations); err != nil {
			return err
		}
		if err := a.inHardware(publisher, name, tuf.RoleRoot, request.Root.Keys, request.Attestations); err != nil {
			return err
		}
		if err := a.inHardware(publisher, name, tuf.RoleTargets, request.Targets.Keys, request.Attestations); err != nil {
			return err
		}
		if request.Signers, err = ring.initSigners(ctx, name, request, append(rootKeys, targetsKeys...)); err != nil {
			return err
		}
		step, err := publisher.PrepareInit(ctx, request)
		if err != nil {
			return err
		}
		rootProved := ring.warnOfKeys(trusted, tuf.RoleRoot, request.Root.Keys, request.Attestations)
		targetsProved := ring.warnOfKeys(trusted, tuf.RoleTargets, request.Targets.Keys, request.Attestations)
		command := trustCommand(name, request.Root, publisher.Server)
		if rootProved && targetsProved {
			command += " --require-hardware"
			if len(roots.files) > 0 {
				command += " --attestation-root FILE"
			}
		}
		b := &batch{ring: ring, steps: []*client.Prepared{step}}
		if err := b.agree(ctx); err != nil {
			return err
		}
		return b.publish(ctx, false, func(_ int, published *client.Published) error {
			return a.initialised(published, command)
		})
	})
	return cmd
}

// initialised pins what was created, and says by what command others do.
func (a *app) initialised(published *client.Published, command string) error {
	name := published.Repository
	if published.Change == nil {
		a.note("%s is at the server already, just as it was to be created", name)
	}
	if published.Anchor == nil {
		a.note("this machine trusts it by the anchor that it has for these names")
	} else {
		if err := a.saveAnchor(*published.Anchor, false); err != nil {
			return fmt.Errorf("%s was created, but could not be pinned on this machine: %w", name, err)
		}
		a.note("this machine trusts it from now on: %s", pins(*published.Anchor))
	}
	if first := published.Versions[tuf.RoleRoot]; first > 1 { // the name was used before, and retired
		command += fmt.Sprintf(" --min-root %d", first)
	}
	a.note("others trust it by: %s", command)
	return a.print(published, func(w io.Writer) { fmt.Fprintf(w, "created %s\n", name) })
}

// trustCommand is what verifiers type.
func trustCommand(name string, root tuf.RoleKeys, server client.Server) string {
	command := "signet trust add " + name
	for _, key := range root.Keys {
		command += " --root-key " + key.ID()
	}
	if root.Threshold < len(root.Keys) {
		command += fmt.Sprintf(" --threshold %d", root.Threshold)
	}
	command += " --server " + server.URL
	if server.CA != "" {
		command += " --ca FILE"
	}
	return command
}

// initSigners returns as many of the keys as both thresholds need.
func (r *keyring) initSigners(ctx context.Context, name string, request client.InitRequest, keys []string) ([]tuf.Signer, error) {
	hand, err := r.atHand(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i, key := range hand { // a public key may belong to a private one of ours
		if key.entry == nil && key.slot == nil {
			if found, err := r.find(ctx, key.ID()); err == nil {
				hand[i] = found
			}
		}
	}
	var signers []foundKey
	for _, role := range []client.SigningRole{
		{Name: tuf.RoleRoot, Threshold: request.Root.Threshold, Keys: request.Root.Keys},
		{Name: tuf.RoleTargets, Threshold: request.Targets.Threshold, Keys: request.Targets.Keys},
	} {
		chosen, ok := r.app.pick(hand, role)
		if !ok {
			return nil, tooFew(name, role, hand)
		}
		signers = append(signers, chosen...)
	}
	return r.lazy(signers), nil
}

// notPinned refuses to create a repository that this machine has an anchor of
// its own for: it would go on trusting the other one.
func (a *app) notPinned(name string) error {
	anchors, err := a.anchors()
	if err != nil {
		return err
	}
	for _, anchor := range anchors {
		if anchor.Pattern == name {
			return advise(fmt.Errorf("this machine has an anchor for %s already: %s", name, pins(anchor)),
				"if that repository is gone for good: signet trust remove %s, and signet trust forget %s", name, name)
		}
	}
	return nil
}

// roleKeys finds the keys of a role, and what attests them.
func (r *keyring) roleKeys(ctx context.Context, flag string, keys []string, threshold int, attestations map[string][]string) (tuf.RoleKeys, error) {
	role := tuf.RoleKeys{Threshold: threshold}
	for _, what := range keys {
		key, err := r.find(ctx, what)
		if err != nil {
			return role, fmt.Errorf("%s: %w", flag, err)
		}
		for _, other := range role.Keys {
			if other.Equal(key.Key) {
				return role, usagef("%s: key %s is given twice; a key counts once", flag, key.ID()[:12])
			}
		}
		role.Keys = append(role.Keys, key.Key)
		chain, err := r.attestation(ctx, key)
		if err != nil {
			return role, err
		}
		if len(chain) > 0 {
			attestations[key.ID()] = chain
		}
	}
	return role, nil
}
