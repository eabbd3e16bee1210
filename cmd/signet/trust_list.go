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

func newTrustList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the trust anchors",
		Args:  cobra.NoArgs,
		RunE: a.action(func(context.Context, []string) error {
			anchors, err := a.anchors()
			if err != nil {
				return err
			}
			if anchors == nil {
				anchors = client.Anchors{}
			}
			v := struct {
				Anchors client.Anchors `json:"anchors"`
			}{anchors}
			return a.print(v, func(w io.Writer) {
				table(w, func(w io.Writer) {
					fmt.Fprintln(w, "NAMES\tTRUSTED\tREQUIRED\tHARDWARE\tSTALE\tSERVER")
					for _, anchor := range anchors {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", anchor.Pattern, pins(anchor), dash(voiceKeys(anchor.Require)), dash(demands(anchor.Hardware)), dash(staleUpTo(anchor)), strings.Join(anchor.Servers, " "))
					}
				})
			})
		}),
	}
}

// staleUpTo says how old what a machine without a network goes by may be; "" for an
// anchor that takes nothing that has expired.
func staleUpTo(anchor client.Anchor) string {
	if anchor.MaxStale == 0 {
		return ""
	}
	return "up to " + about(time.Duration(anchor.MaxStale))
}

func newTrustRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "remove PATTERN",
		Short: "Trust the root keys for these names no longer",
		Args:  cobra.ExactArgs(1),
		RunE: a.action(func(_ context.Context, args []string) error {
			pattern, err := patternArg(args[0])
			if err != nil {
				return err
			}
			return client.EditAnchors(a.trustFile(), func(anchors client.Anchors) (client.Anchors, error) {
				for i := range anchors {
					if anchors[i].Pattern == pattern {
						a.note("nothing under %s is trusted by this anchor any more: %s", pattern, pins(anchors[i]))
						return append(anchors[:i:i], anchors[i+1:]...), nil
					}
				}
				return nil, advise(fmt.Errorf("there is no anchor for %s", pattern), "signet trust list shows those that there are")
			})
		}),
	}
}

func newTrustResetClock(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset-clock REPO",
		Short: "Forget the latest time that was seen for a repository",
		Long: `Forget the latest time that was seen for a repository. Signet refuses to judge by
a clock that stepped back, since whoever can turn the clock back can show what
expired long ago. When the clock once ran ahead, and is right now, this mends it.

It gives up one protection: metadata that expired between the right time and the
one that was seen is accepted again, if the clock says so.`,
		Args: cobra.ExactArgs(1),
	}
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		name, err := repository(args[0])
		if err != nil {
			return err
		}
		a.note("this machine's clock says %s", stamp(a.now()))
		if err := a.confirm(ctx, fmt.Sprintf("Is that right, and may the latest time that was seen for %s be forgotten?", name)); err != nil {
			return err
		}
		verifier, err := a.verifier()
		if err != nil {
			return err
		}
		if err := verifier.ResetClock(ctx, name); err != nil {
			return err
		}
		a.note("forgotten; the next answer for %s is judged by this machine's clock alone", name)
		return nil
	})
	return cmd
}

func newTrustForget(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forget REPO",
		Short: "Forget all that was verified for a repository",
		Long: `Forget all that was verified for a repository, for one that was created anew under
other root keys. The anchor stays.

It gives up the protection against older metadata: until the next answer, a
server could show this machine any state that was ever signed and has not expired.`,
		Args: cobra.ExactArgs(1),
	}
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		name, err := repository(args[0])
		if err != nil {
			return err
		}
		if err := a.confirm(ctx, fmt.Sprintf("Forget all that was verified for %s, and with it the protection against older metadata?", name)); err != nil {
			return err
		}
		verifier, err := a.verifier()
		if err != nil {
			return err
		}
		return verifier.Forget(ctx, name)
	})
	return cmd
}

// firstUse pins what a server shows now, since that was asked for in words, and
// remembers it. A name that has an anchor keeps it.
func (a *app) firstUse(ctx context.Context, verifier *client.Client, image tuf.Image, caFile string) error {
	anchors, err := a.anchors()
	if err != nil {
		return err
	}
	for _, anchor := range anchors { // two that fit equally well are no invitation either
		if tuf.MatchName(anchor.Pattern, image.Repository) {
			return nil
		}
	}
	like := client.Anchor{Pattern: image.Repository}
	var servers []string
	if a.server != "" {
		servers = []string{a.server}
	}
	if err := a.anchorServers(&like, servers, caFile); err != nil {
		return err
	}
	anchor, err := verifier.FirstUse(ctx, image.Repository, like)
	if err != nil {
		return err
	}
	if err := a.saveAnchor(*anchor, false); err != nil {
		return err
	}
	a.note("trusted on first use for %s from now on: %s, as %s shows it", anchor.Pattern, pins(*anchor), strings.Join(anchor.Servers, " "))
	return nil
}
