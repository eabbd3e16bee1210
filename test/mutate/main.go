// The mutate program takes protections away, one at a time, and demands that a test
// notices each time. It works on a copy of the tree.
//
//	scripts/mutate                  all of them
//	scripts/mutate -only rollback   those whose promise, file or text fits
//	scripts/mutate -list            what there is
//
// A mutation belongs to one promise of SECURITY.md and names the tests that have to
// fail. First these tests run as they are, and pass; then each mutant runs those that
// it names. One that lives, that does not compile, or whose text is not there any more
// is an error. The test of this package holds the list to the sources and to
// SECURITY.md, so that it cannot rot unseen between runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"sync"
	"time"
)

func main() {
	only := flag.String("only", "", "a regular `expression` for promise, file or text")
	list := flag.Bool("list", false, "list the mutations and end")
	workers := flag.Int("workers", 2, "how many mutants run at once, each on a copy of its own")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, ".", *only, *list, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, tree, only string, list bool, workers int) error {
	pattern, err := regexp.Compile("(?i)" + only)
	if err != nil {
		return err
	}
	var chosen []mutation
	for _, m := range mutations() {
		if pattern.MatchString(m.promise) || pattern.MatchString(m.file) || pattern.MatchString(m.old) {
			chosen = append(chosen, m)
		}
	}
	if list {
		for _, m := range chosen {
			fmt.Fprintf(w, "%-28s %s:\n    - %s\n    + %s\n    %v\n", m.promise, m.file, oneLine(m.old), oneLine(m.new), m.tests)
		}
		return nil
	}
	if workers < 1 || len(chosen) == 0 {
		return errors.New("nothing to do")
	}
	started := time.Now()
	copies := make(chan *copied, workers)
	for range workers {
		c, err := copyTree(ctx, tree)
		if err != nil {
			return err
		}
		defer c.remove()
		copies <- c
	}
	if err := baseline(ctx, w, copies, chosen); err != nil {
		return err
	}
	bad := runAll(ctx, w, copies, chosen)
	fmt.Fprintf(w, "%d mutants, %d without a test that notices, in %s\n", len(chosen), bad, time.Since(started).Round(time.Second))
	if bad > 0 || ctx.Err() != nil {
		return errors.Join(fmt.Errorf("%d of %d mutants are not killed", bad, len(chosen)), ctx.Err())
	}
	return nil
}

// runAll runs every mutant on the first copy that is free, and counts those that are
// not killed.
func runAll(ctx context.Context, w io.Writer, copies chan *copied, chosen []mutation) (bad int) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	for _, m := range chosen {
		c := <-copies
		wait.Go(func() {
			defer func() { copies <- c }()
			v := c.try(ctx, m)
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(w, "%-8s %-28s %s: %s  (%s)\n", v.word, m.promise, m.file, oneLine(m.old), v.by)
			if v.word != killed {
				bad++
				fmt.Fprintf(w, "         became: %s\n%s", oneLine(m.new), v.detail)
			}
		})
	}
	wait.Wait()
	return bad
}
