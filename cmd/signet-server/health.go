package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// newHealth asks a running server whether it answers: for a container's health
// check, which has no other program to ask with. It asks /healthz, not /readyz: a
// server whose signer is away still serves reads, and restarting it mends nothing.
func newHealth(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask the server at --health-listen whether it is alive",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.healthListen == "off" || o.healthListen == "" {
				return usageError{errors.New("--health-listen is off, so there is nothing to ask")}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.healthListen+"/healthz", nil)
			if err != nil {
				return usageError{fmt.Errorf("--health-listen: %w", err)}
			}
			transport := &http.Transport{Proxy: nil}
			defer transport.CloseIdleConnections()
			response, err := transport.RoundTrip(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("the server at %s answers %s", o.healthListen, response.Status)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return nil
		},
	}
}
