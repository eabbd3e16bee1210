package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A mutation takes one protection away.
type mutation struct {
	promise  string // the row of SECURITY.md
	file     string // of the tree
	old, new string // the text, which stands in the file once, and what it becomes
	tests    []string
	also     *edit // where one protection has two layers, the other one
}

// An edit is a second change to the same file.
type edit struct{ old, new string }

// The words of a verdict.
const (
	killed   = "killed"
	survived = "SURVIVED"
	broken   = "BROKEN" // it does not compile, or cannot be made
)

type verdict struct{ word, by, detail string }

// folders are where the packages of tests are, by the name that tests are given with.
var folders = map[string]string{
	"policies": "cmd/internal/policies", "containerd": "guard/containerd", "signet-guard": "cmd/signet-guard",
	"attack": "test/attack", "conformance": "test/conformance", "crash": "test/crash", "property": "test/property",
	"store": "server/store", "api": "server/api", "yubikey": "keystore/yubikey", "signet": "cmd/signet",
	"signet-server": "cmd/signet-server", "registry": "client/registry", "card": "test/yubikey/card",
	"kubernetes": "guard/kubernetes", "limit": "internal/limit",
}

// split takes "client.TestRollback" apart.
func split(test string) (folder, name string) {
	folder, name, _ = strings.Cut(test, ".")
	if long, ok := folders[folder]; ok {
		folder = long
	}
	return folder, name
}

// A copied is a copy of the tree that one worker changes.
type copied struct{ dir string }

// copyTree copies what is under version control, and what is new and not ignored.
func copyTree(ctx context.Context, tree string) (*copied, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	c := &copied{dir: dir}
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = tree
	names, err := list.Output()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("git ls-files: %w", err), c.remove())
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(tree, name), filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, c.remove())
		}
	}
	return c, nil
}

func (c *copied) remove() error { return os.RemoveAll(c.dir) }

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// apply returns a file's text after the mutation.
func (m mutation) apply(text string) (string, error) {
	switch n := strings.Count(text, m.old); {
	case n != 1:
		return "", fmt.Errorf("%s has %d times %q, expected once: the mutation has to follow the source", m.file, n, m.old)
	case m.old == m.new:
		return "", fmt.Errorf("%s: %q becomes itself", m.file, m.old)
	}
	text = strings.Replace(text, m.old, m.new, 1)
	if m.also != nil {
		return mutation{file: m.file, old: m.also.old, new: m.also.new}.apply(text)
	}
	return text, nil
}

// try runs a mutant's tests, and puts the file back.
func (c *copied) try(ctx context.Context, m mutation) verdict {
	path := filepath.Join(c.dir, m.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return verdict{broken, "", err.Error() + "\n"}
	}
	mutant, err := m.apply(string(text))
	if err == nil {
		err = os.WriteFile(path, []byte(mutant), 0o600)
	}
	if err != nil {
		return verdict{broken, "", err.Error() + "\n"}
	}
	defer os.WriteFile(path, text, 0o600)
	started := time.Now()
	for folder, names := range byFolder(m.tests) {
		out, err := c.test(ctx, folder, names)
		switch {
		case ctx.Err() != nil:
			return verdict{broken, "", "stopped\n"}
		case err == nil:
			continue
		case bytes.Contains(out, []byte("[build failed]")), bytes.Contains(out, []byte("[setup failed]")), bytes.Contains(out, []byte(": exit status 1\n# ")):
			return verdict{broken, folder, indent(out)}
		}
		if failed := failure.FindSubmatch(out); failed != nil && slices.Contains(names, string(failed[1])) {
			return verdict{killed, fmt.Sprintf("%s %s, %s", folder, failed[1], time.Since(started).Round(100*time.Millisecond)), ""}
		}
		return verdict{broken, folder, indent(out)}
	}
	return verdict{survived, strings.Join(m.tests, " "), ""}
}

// failure finds the test that failed, or that was running when the process ended.
var failure = regexp.MustCompile(`(?m)^(?:--- FAIL: |panic: test timed out after [^\n]*\n\s*running tests:\n\s*)((?:Test|Fuzz)\w+)`)

// byFolder groups tests, the quick ones first.
func byFolder(tests []string) func(func(string, []string) bool) {
	groups := map[string][]string{}
	for _, test := range tests {
		folder, name := split(test)
		groups[folder] = append(groups[folder], name)
	}
	folders := slices.Sorted(maps.Keys(groups))
	slices.SortStableFunc(folders, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	return func(yield func(string, []string) bool) {
		for _, folder := range folders {
			if !yield(folder, groups[folder]) {
				return
			}
		}
	}
}

// test runs tests of one package.
func (c *copied) test(ctx context.Context, folder string, names []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-vet=off", "-timeout=5m", "-run", "^("+strings.Join(names, "|")+")$", "./"+folder)
	cmd.Dir = c.dir
	return cmd.CombinedOutput()
}

// baseline demands that all tests pass while nothing is changed.
func baseline(ctx context.Context, w io.Writer, copies chan *copied, chosen []mutation) error {
	var all []string
	for _, m := range chosen {
		all = append(all, m.tests...)
	}
	slices.Sort(all)
	var wait sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for folder, names := range byFolder(slices.Compact(all)) {
		c := <-copies
		wait.Go(func() {
			defer func() { copies <- c }()
			started := time.Now()
			out, err := c.test(ctx, folder, names)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || bytes.Contains(out, []byte("no tests to run")) {
				failed = errors.Join(failed, fmt.Errorf("the tests of %s fail before anything is changed:\n%s", folder, indent(out)))
				return
			}
			fmt.Fprintf(w, "as it is %-28s %d tests pass in %s\n", folder, len(names), time.Since(started).Round(100*time.Millisecond))
		})
	}
	wait.Wait()
	return failed
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 110 {
		s = s[:107] + "..."
	}
	return s
}

// indent is the end of an output, moved to the right.
func indent(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) > 20 {
		lines = lines[len(lines)-20:]
	}
	return "         " + strings.Join(lines, "\n         ") + "\n"
}
