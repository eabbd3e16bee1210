// Command conformance lets the TUF project's conformance suite
// (theupdateframework/tuf-conformance) put packages tuf and client to the test.
// It is the suite's "client under test":
//
//	conformance --metadata-dir DIR init ROOT
//	conformance --metadata-dir DIR --metadata-url URL refresh
//	conformance --metadata-dir DIR --metadata-url URL --target-name PATH... \
//	    --target-dir DIR --target-base-url URL download
//
// Verified metadata stands in the metadata folder, each role under its escaped
// name. Several targets are taken in order by one client, up to the first
// failure. The exit status is 0 when all went well and 1 otherwise. The time is
// what the program date on PATH says, which is how the suite sets clocks.
//
// The tests beside it play the suite's situations against this program. Where the
// suite itself is at hand, it runs as
//
//	go build ./test/conformance && pytest tuf_conformance --entrypoint ./conformance
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	metadataDir, metadataURL string
	targetDir, targetURL     string
	targets                  []string
	command                  string
	root                     string
}

func parse(args []string, stderr io.Writer) (*options, error) {
	var o options
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.metadataDir, "metadata-dir", "", "folder of verified metadata")
	flags.StringVar(&o.metadataURL, "metadata-url", "", "where metadata is served")
	flags.StringVar(&o.targetDir, "target-dir", "", "folder for what is downloaded")
	flags.StringVar(&o.targetURL, "target-base-url", "", "where targets are served")
	flags.Func("target-name", "target path to download; may be given several times", func(s string) error {
		o.targets = append(o.targets, s)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	o.command = flags.Arg(0)
	needed := map[string][]string{
		"init":     {o.metadataDir, flags.Arg(1)},
		"refresh":  {o.metadataDir, o.metadataURL},
		"download": {o.metadataDir, o.metadataURL, o.targetDir, o.targetURL},
	}
	values, ok := needed[o.command]
	if !ok {
		return nil, fmt.Errorf("%q is none of init, refresh and download", o.command)
	}
	for _, value := range values {
		if value == "" {
			return nil, fmt.Errorf("%s lacks an argument", o.command)
		}
	}
	if o.command == "download" && len(o.targets) == 0 {
		return nil, errors.New("download lacks --target-name")
	}
	o.root = flags.Arg(1)
	return &o, nil
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	now, err := clock(ctx)
	if err != nil {
		return err
	}
	store := folder(o.metadataDir)
	if o.command == "init" {
		root, err := os.ReadFile(o.root)
		if err != nil {
			return err
		}
		if _, err := tuf.NewTrusted("", root, now, tuf.Limits{}); err != nil {
			return err
		}
		return store.Save(ctx, []tuf.File{{Role: tuf.RoleRoot, Bytes: root}})
	}
	updater := client.Updater{Fetch: fetcher(o.metadataURL), Store: store, Now: func() time.Time { return now }}
	update, err := updater.Refresh(ctx)
	if err != nil {
		return err // what was verified up to there is kept
	}
	err = update.Load(ctx, tuf.RoleTargets, tuf.RoleRoot)
	for _, path := range o.targets {
		if err == nil && o.command == "download" {
			err = download(ctx, update, o, path)
		}
	}
	return errors.Join(err, update.Save(ctx))
}

// clock returns the time by the program date, whose answer the suite can set.
func clock(ctx context.Context) (time.Time, error) {
	out, err := exec.CommandContext(ctx, "date", "+%s").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("ask date for the time: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask date for the time: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
