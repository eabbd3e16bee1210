package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

// The program under test, as built by TestMain.
const programName = "conformance"

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, programName), ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	// The tests find it on PATH.
	if err := os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// A runner is one client under test: its folders, and how it is called.
type runner struct {
	t                 testing.TB
	sim               *simulator
	metadata, targets string
	env               []string
}

// newClient returns a client that was initialised with the repository's root 1.
func newClient(t testing.TB, sim *simulator) *runner {
	t.Helper()
	c := emptyClient(t, sim)
	c.want(0, c.init(sim.published["root"][0]))
	return c
}

func emptyClient(t testing.TB, sim *simulator) *runner {
	t.Helper()
	c := &runner{t: t, sim: sim, metadata: t.TempDir(), targets: t.TempDir(), env: os.Environ()}
	return c
}

// run calls the program and returns its exit status.
func (c *runner) run(args ...string) int {
	c.t.Helper()
	cmd := exec.Command(programName, args...)
	cmd.Env = c.env
	c.sim.settle()
	defer c.sim.settle()
	out, err := cmd.CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok {
		c.t.Logf("%s: %s", args[len(args)-1], out)
		return exit.ExitCode()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return 0
}

func (c *runner) init(root []byte) int {
	c.t.Helper()
	path := filepath.Join(c.t.(interface{ TempDir() string }).TempDir(), "initial_root.json")
	if err := os.WriteFile(path, root, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return c.run("--metadata-dir", c.metadata, "init", path)
}

func (c *runner) refresh() int {
	c.t.Helper()
	return c.run("--metadata-url", c.sim.url+"/metadata/", "--metadata-dir", c.metadata, "refresh")
}

func (c *runner) download(names ...string) int {
	c.t.Helper()
	args := []string{"--metadata-url", c.sim.url + "/metadata/", "--metadata-dir", c.metadata}
	for _, name := range names {
		args = append(args, "--target-name", name)
	}
	return c.run(append(args, "--target-dir", c.targets, "--target-base-url", c.sim.url+"/targets/", "download")...)
}

// at makes the program date say another time from now on.
func (c *runner) at(now time.Time) {
	c.t.Helper()
	dir := c.t.(interface{ TempDir() string }).TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho %d\n", now.Unix())
	if err := os.WriteFile(filepath.Join(dir, "date"), []byte(script), 0o700); err != nil {
		c.t.Fatal(err)
	}
	c.env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func (c *runner) want(want, got int) {
	c.t.Helper()
	if got != want {
		c.t.Fatalf("exit status %d, want %d", got, want)
	}
}

// file returns a role's trusted file, nil for none.
func (c *runner) file(role string) []byte {
	c.t.Helper()
	data, err := folder(c.metadata).Load(role)
	if err != nil {
		c.t.Fatal(err)
	}
	return data
}

// trusts checks which versions are kept: "root 2, snapshot 1".
func (c *runner) trusts(want string) {
	c.t.Helper()
	names, err := filepath.Glob(filepath.Join(c.metadata, "*.json"))
	if err != nil {
		c.t.Fatal(err)
	}
	var got []string
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			c.t.Fatal(err)
		}
		got = append(got, fmt.Sprint(strings.TrimSuffix(filepath.Base(name), ".json"), " ", version(c.t, data)))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
		c.t.Fatalf("trusted metadata:\n%s", diff)
	}
}

// version reads the version of a file of any type.
func version(t testing.TB, data []byte) int64 {
	t.Helper()
	if md, err := tuf.ReadRoot(data); err == nil {
		return md.Signed.Version
	}
	if md, err := tuf.ReadTimestamp(data); err == nil {
		return md.Signed.Version
	}
	if md, err := tuf.ReadSnapshot(data); err == nil {
		return md.Signed.Version
	}
	md, err := tuf.ReadTargets(data)
	if err != nil {
		t.Fatal(err)
	}
	return md.Signed.Version
}

// asked checks which metadata was asked for since the last look.
func (c *runner) asked(want ...string) {
	c.t.Helper()
	if diff := cmp.Diff(strings.Join(want, ", "), strings.Join(c.sim.asked(), ", ")); diff != "" {
		c.t.Fatalf("requests:\n%s", diff)
	}
}

// askedLast checks the last request.
func (c *runner) askedLast(want string) {
	c.t.Helper()
	if asked := c.sim.asked(); len(asked) == 0 || asked[len(asked)-1] != want {
		c.t.Fatalf("asked for %v, want %s last", asked, want)
	}
}

// has checks what was downloaded, in any order.
func (c *runner) has(want ...string) {
	c.t.Helper()
	var got []string
	err := filepath.WalkDir(c.targets, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		got = append(got, string(data))
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	want = slices.Sorted(slices.Values(want))
	slices.Sort(got)
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
		c.t.Fatalf("downloaded:\n%s", diff)
	}
}
