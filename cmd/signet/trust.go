package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
)

func newTrust(a *app) *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "trust",
		Short: "Say which root keys are trusted for which names",
		Long: `Trust anchors say which root keys are trusted for which names, and which server
to ask. Without an anchor for a name nothing under it is trusted. They are kept
in trust.json in the configuration folder.`,
	}, a)
	cmd.AddCommand(newTrustAdd(a), newTrustList(a), newTrustRemove(a), newTrustResetClock(a), newTrustForget(a), newTrustReplace(a), newTrustNotice(a))
	return cmd
}

func (a *app) trustFile() string { return filepath.Join(a.configDir, "trust.json") }

func (a *app) anchors() (client.Anchors, error) { return client.LoadAnchors(a.trustFile()) }

// sameAddress tells whether two base addresses are one.
func sameAddress(x, y string) bool { return trimSlash(x) == trimSlash(y) }
