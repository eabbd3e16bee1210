package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func newSigner(a *app) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "signer",
		Short: "Say who else may sign which tags of a repository",
		Long: `A signer is a person, a team or a pipeline that may sign some of a repository's
tags, with keys and a threshold of its own. Who holds the targets keys says who the
signers are, and need not be there when one of them signs: signet sign --as NAME.

A tag that several may sign means what the first of them says, in the order that
signet signer list shows, targets first of all.`,
	}, a)
	cmd.AddCommand(newSignerAdd(a), newSignerList(a), newSignerRemove(a), newSignerUpdate(a))
	return cmd
}

// signerInfo is one line of signer list.
type signerInfo struct {
	Name        string    `json:"name"`
	Delegator   string    `json:"delegator"`
	Keys        []string  `json:"keys"`
	Threshold   int       `json:"threshold"`
	Tags        []string  `json:"tags"`            // patterns
	Paths       []string  `json:"paths,omitempty"` // target paths that are no tags of the repository
	Terminating bool      `json:"terminating,omitempty"`
	Version     int64     `json:"version"`
	Expires     time.Time `json:"expires"`
	Targets     int       `json:"targets"`
}

func newSignerList(a *app) *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "list REPO",
		Short: "List the signers, in the order in which they are asked",
		Long: `List the signers, in the order in which they are asked: a tag that several may sign
means what the first of them says, targets first of all. A signer below another
(UNDER) is asked right after that one, and for the tags that both may sign.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "answer from what was verified before")
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		view, err := a.view(ctx, args[0], offline)
		if err != nil {
			return err
		}
		v := struct {
			Repository string       `json:"repository"`
			Signers    []signerInfo `json:"signers"`
		}{view.Repository, []signerInfo{}}
		for _, role := range view.Roles {
			if !tuf.IsTopLevel(role.Name) {
				v.Signers = append(v.Signers, newSignerInfo(view.Repository, role))
			}
		}
		if len(v.Signers) == 0 && a.output == outputText {
			a.note("%s has no signers: the targets keys sign all tags", view.Repository)
			return nil
		}
		return a.print(v, func(w io.Writer) {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, "SIGNER\tTAGS\tTHRESHOLD\tKEYS\tEXPIRES\tUNDER")
				for _, s := range v.Signers {
					var ids []string
					for _, id := range s.Keys {
						ids = append(ids, id[:min(12, len(id))])
					}
					fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\t%s (%s)\t%s\n", clip(s.Name, 100), s.tags(), s.Threshold, len(s.Keys), strings.Join(ids, " "), stamp(s.Expires), until(a.now(), s.Expires), clip(s.Delegator, 100))
				}
			})
		})
	})
	return cmd
}

// newSignerInfo reads a signer's paths as tags: signet writes two for each pattern,
// that of the tag and that of its records.
func newSignerInfo(repository string, role client.RoleView) signerInfo {
	s := signerInfo{Name: role.Name, Delegator: role.Delegator, Keys: []string{}, Threshold: role.Threshold, Tags: []string{},
		Version: role.Version, Expires: role.Expires, Targets: role.Targets}
	for _, key := range role.Keys {
		s.Keys = append(s.Keys, key.ID)
	}
	return s.of(repository, role.Paths, role.Terminating)
}

// of reads paths into s.
func (s signerInfo) of(repository string, paths []string, terminating bool) signerInfo {
	s.Terminating = terminating
	for _, path := range paths {
		tag, ours := strings.CutPrefix(path, repository+":")
		switch {
		case !ours:
			s.Paths = append(s.Paths, path)
		case slices.Contains(paths, strings.TrimSuffix(path, "@sha256:*")) && strings.HasSuffix(path, "@sha256:*"): // the records under a tag
		default:
			s.Tags = append(s.Tags, tag)
		}
	}
	return s
}

// tags says what a signer may sign.
func (s signerInfo) tags() string {
	list := s.Tags
	if len(s.Paths) > 0 {
		list = append(slices.Clone(list), "and paths "+strings.Join(s.Paths, " "))
	}
	text := clip(strings.Join(list, " "), 300)
	if s.Terminating {
		text += " (nobody after it)"
	}
	return text
}
