package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs a service as the process: run with the process's surroundings. The
// first signal stops it in good order; the second at once.
func Main(run func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int) {
	guardMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// Run runs a command and returns the exit status: 0 done, 1 trouble, 2 usage.
func Run(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return UsageError{err} })
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.As(err, new(LoggedError)) {
		fmt.Fprintf(stderr, "%s: %v\n", root.Name(), err)
		if hint := Hint(root.Name(), err); hint != "" {
			fmt.Fprintf(stderr, "hint: %s\n", hint)
		}
	}
	if errors.As(err, new(UsageError)) {
		return 2
	}
	return 1
}

// A LoggedError is in the log already, where whoever reads it looks for it: Run adds no
// line of its own.
type LoggedError struct{ Err error }

// Error says what is wrong.
func (e LoggedError) Error() string { return e.Err.Error() }

// Unwrap returns what was logged.
func (e LoggedError) Unwrap() error { return e.Err }

// A UsageError is a mistake in what was asked for: exit status 2.
type UsageError struct{ Err error }

// Error says what is wrong.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the mistake.
func (e UsageError) Unwrap() error { return e.Err }

// NoArgs refuses arguments of a command that takes none.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return UsageError{fmt.Errorf("unknown command or argument %q; see %s --help", args[0], cmd.Root().Name())}
	}
	return nil
}

// OneArg takes one argument, which what names.
func OneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return UsageError{fmt.Errorf("expected one argument, %s", what)}
		}
		return nil
	}
}

// Version is that of the module, as the build knows it.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
