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
	"syscall"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == measureCommand {
		os.Exit(measureChild(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == floorCommand {
		os.Exit(serveFloor(os.Args[2:]))
	}
	bin := flag.String("bin", "bin", "folder with signet, signet-server and crane")
	rounds := flag.Int("rounds", 15, "rounds of each comparison")
	requests := flag.Int("requests", 20000, "timestamp reads in each round")
	only := flag.String("only", "", "one area: verify, timestamp, yubikey, publish, fleet, catchup or compromise")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *rounds, *requests, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
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
	for _, area := range []struct {
		name    string
		measure func() error
	}{{"verify", b.verify}, {"timestamp", b.timestamp}, {"yubikey", b.yubikey}, {"publish", b.publish}, {"fleet", b.fleet}, {"catchup", b.catchup}, {"compromise", b.compromise}} {
		if only != "" && only != area.name {
			continue
		}
		ran = true
		if err := area.measure(); err != nil {
			return fmt.Errorf("%s: %w", area.name, err)
		}
	}
	if !ran {
		return fmt.Errorf("-only %s: expected verify, timestamp, yubikey, publish, fleet, catchup or compromise", only)
	}
	return nil
}
