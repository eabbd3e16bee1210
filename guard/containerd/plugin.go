package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// An Answerer decides: a gate in this process, or one elsewhere (guard.Remote).
type Answerer interface {
	Ask(ctx context.Context, asker door.Asker, q door.Question) (*client.Decision, error)
}

// Exit statuses of the plugin. Containerd lets an image pass on 0 alone.
const (
	ExitAllow   = 0
	ExitTrouble = 1
	ExitUsage   = 2
	ExitRefused = 3
)

const (
	maxStdin  = 64 << 10 // of what containerd writes
	maxStdout = 4 << 10  // of its 32 KiB

	mediaTypeDescriptor = "application/vnd.oci.descriptor.v1+json"
)

// IsPlugin tells whether a program was started as containerd starts an image
// verifier, by whatever name.
func IsPlugin(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		return arg == "-name" || arg == "-digest" || arg == "-stdin-media-type" ||
			strings.HasPrefix(arg, "-name=") || strings.HasPrefix(arg, "-digest=")
	})
}

// Plugin answers containerd's question in args and stdin, by way of the Answerer that
// open returns, and returns the exit status. The reason is one line on stdout. It
// does not outlive ctx.
func Plugin(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer, open func() (Answerer, error)) int {
	status, reason := plugin(ctx, args, stdin, open)
	if reason = line(reason); len(reason) > maxStdout {
		reason = reason[:maxStdout]
	}
	fmt.Fprintln(stdout, reason)
	return status
}

func plugin(ctx context.Context, args []string, stdin io.Reader, open func() (Answerer, error)) (status int, reason string) {
	var name, digest, mediaType string
	flags := flag.NewFlagSet("verifier", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&name, "name", "", "")
	flags.StringVar(&digest, "digest", "", "")
	flags.StringVar(&mediaType, "stdin-media-type", "", "")
	flags.String("operation", "pull", "") // proposed for containerd, with verify_on_run (its #12541), in none up to 2.4; the answer is the same
	if err := flags.Parse(args); err != nil {
		return ExitUsage, "refused: " + err.Error()
	}
	switch {
	case flags.NArg() > 0:
		return ExitUsage, fmt.Sprintf("refused: unknown argument %q", flags.Arg(0))
	case name == "" || digest == "":
		return ExitUsage, "refused: -name and -digest say which image is to be pulled"
	}
	if err := tuf.CheckDigest(digest); err != nil {
		return ExitRefused, "refused: " + err.Error()
	}
	if mediaType == mediaTypeDescriptor {
		if err := compare(ctx, stdin, digest); err != nil {
			return ExitRefused, "refused: " + err.Error()
		}
	}
	answerer, err := open()
	if err != nil {
		return ExitTrouble, "refused, could not find out: " + err.Error()
	}
	decision, err := answerer.Ask(ctx, door.Asker{Door: "verifier", Who: "containerd"},
		door.Question{Question: policy.Question{Image: name}, Offered: digest})
	switch {
	case tuf.IsRefusal(err):
		return ExitRefused, "refused: " + decision.Reason + "; next: " + door.Next(decision.Image, decision, err)
	case err != nil:
		return ExitTrouble, "refused, could not find out: " + decision.Reason + "; next: " + door.Next(decision.Image, decision, err)
	case decision.Trusted && decision.Digest != digest:
		return ExitRefused, fmt.Sprintf("refused: %s is signed as %s, not as %s", name, decision.Digest, digest)
	case decision.Trusted:
		return ExitAllow, fmt.Sprintf("trusted: %s, signed by %s", decision.Image, strings.Join(decision.Signers, ", "))
	case decision.Policy.Exempt != "":
		return ExitAllow, fmt.Sprintf("not verified: %s is exempt until %s: %s", decision.Image, decision.Policy.Until, decision.Policy.Exempt)
	}
	return ExitAllow, fmt.Sprintf("NOT trusted, let pass by the mode %s of rule %s: %s", decision.Policy.Mode, decision.Policy.Rule, decision.Reason)
}

// compare refuses a descriptor on stdin that is of something else than -digest, or
// that is none. It waits no longer than ctx.
func compare(ctx context.Context, stdin io.Reader, digest string) error {
	type read struct {
		data []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(stdin, maxStdin+1))
		done <- read{data, err}
	}()
	var got read
	select {
	case got = <-done:
	case <-ctx.Done():
		return fmt.Errorf("the descriptor on standard input does not end: %w", ctx.Err())
	}
	var descriptor struct {
		Digest string `json:"digest"`
	}
	switch {
	case got.err != nil:
		return fmt.Errorf("the descriptor on standard input: %w", got.err)
	case len(got.data) > maxStdin:
		return fmt.Errorf("the descriptor on standard input has more than %d bytes", maxStdin)
	}
	if err := json.NewDecoder(bytes.NewReader(got.data)).Decode(&descriptor); err != nil {
		return fmt.Errorf("the descriptor on standard input: %w", err)
	}
	if descriptor.Digest != digest {
		return fmt.Errorf("-digest is %s, and the descriptor on standard input is of %s", digest, quote(descriptor.Digest))
	}
	return nil
}
