// Command bench measures Signet beside the floors that it cannot go below, and
// prints one line a row, for people and scripts:
//
//	bench <area>/<row> <figure with unit> bar <bar> ok|short
//
// Bars are the figures of peers (docs/performance.md says which) or the ratio to
// the floor. Things that are compared run in turn, A B A B, in one run; figures
// are medians; CPU and peak memory are those of whole processes as the operating
// system counts them. It exits 0 whatever falls short. `make bench` builds and
// runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == measureCommand {
		os.Exit(measureChild(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == floorCommand {
		os.Exit(serveFloor(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == webhookCommand {
		os.Exit(serveWebhook(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == holdCommand {
		os.Exit(hold(os.Args[2:]))
	}
	bin := flag.String("bin", "bin", "folder with signet, signet-server and crane")
	rounds := flag.Int("rounds", 15, "rounds of each comparison")
	requests := flag.Int("requests", 20000, "timestamp reads in each round")
	only := flag.String("only", "", "one area of "+areaNames())
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *rounds, *requests, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// An area is a group of rows.
type area struct {
	name    string
	measure func(*bench) error
}

func areas() []area {
	return []area{
		{"verify", (*bench).verify}, {"timestamp", (*bench).timestamp}, {"yubikey", (*bench).yubikey}, {"publish", (*bench).publish},
		{"fleet", (*bench).fleet}, {"catchup", (*bench).catchup}, {"compromise", (*bench).compromise}, {"decisions", (*bench).decisions},
		{"admission", (*bench).admission}, {"files", (*bench).files}, {"memory", (*bench).memory},
	}
}

func areaNames() string {
	var names []string
	for _, area := range areas() {
		names = append(names, area.name)
	}
	return strings.Join(names, ", ")
}

func run(ctx context.Context, bin string, rounds, requests int, only string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "signet-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{ctx: ctx, bin: bin, dir: dir, rounds: rounds, requests: requests}
	defer b.close()
	if err := b.start(); err != nil {
		return err
	}
	ran := false
	for _, area := range areas() {
		if only != "" && only != area.name {
			continue
		}
		ran = true
		if err := area.measure(b); err != nil {
			return fmt.Errorf("%s: %w", area.name, err)
		}
	}
	if !ran {
		return fmt.Errorf("-only %s: expected one of %s", only, areaNames())
	}
	return nil
}
