package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
)

// tagList is what list prints.
type tagList struct {
	Repository string           `json:"repository"`
	Tags       []client.TagView `json:"tags"`
	Stale      client.Duration  `json:"stale,omitempty"` // as of verify
}

func newList(a *app) *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "list REPO",
		Short: "List the tags that are signed, and what each means",
		Args:  cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "answer from what was verified before")
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		view, err := a.view(ctx, args[0], offline)
		if err != nil {
			return err
		}
		list := tagList{Repository: view.Repository, Tags: view.Tags, Stale: view.Stale}
		if list.Tags == nil {
			list.Tags = []client.TagView{}
		}
		if len(list.Tags) == 0 {
			a.note("nothing is signed in %s yet", view.Repository)
			if a.output == outputText {
				return nil
			}
		}
		return a.print(list, func(w io.Writer) {
			table(w, func(w io.Writer) {
				fmt.Fprintln(w, "TAG\tDIGEST\tSIGNED BY\tEARLIER\tANNOTATIONS")
				for _, tag := range list.Tags {
					digest := tag.Digest
					if digest == "" {
						digest = "(withdrawn)"
					}
					if len(tag.Lacking) > 0 {
						digest += " (not trusted: lacks " + strings.Join(tag.Lacking, ", ") + ")"
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", tag.Tag, digest, dash(tag.Signer), dash(short(tag.Earlier)), dash(annotations(tag.Annotations)))
				}
			})
		})
	})
	return cmd
}

// view returns all that is signed for a REPO argument.
func (a *app) view(ctx context.Context, arg string, offline bool) (*client.View, error) {
	name, err := repository(arg)
	if err != nil {
		return nil, err
	}
	verifier, err := a.verifier()
	if err != nil {
		return nil, err
	}
	options, err := a.options(name, offline)
	if err != nil {
		return nil, err
	}
	view, err := verifier.View(ctx, name, options)
	if err == nil {
		a.noteStale(name, view.Stale)
	}
	return view, err
}

// short lists digests by their first digits.
func short(digests []string) string {
	list := make([]string, len(digests))
	for i, digest := range digests {
		list[i] = digest[:min(len(digest), len("sha256:")+12)]
	}
	return strings.Join(list, " ")
}

// annotations lists k=v, by key.
func annotations(m map[string]string) string {
	var list []string
	for _, k := range sortedKeys(m) {
		list = append(list, clip(k, 60)+"="+clip(m[k], 200))
	}
	return strings.Join(list, ", ")
}
