package attack_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// patience is how long one run of signet may take at most.
const patience = time.Minute

// A machine is a computer with signet on it: its own configuration and state.
type machine struct {
	t     testing.TB
	dir   string
	ahead time.Duration // of its clock; 0: signet's own
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	return &machine{t: t, dir: t.TempDir()}
}

// clone is another machine that has seen just what this one has.
func (m *machine) clone(t testing.TB) *machine {
	t.Helper()
	other := newMachine(t)
	if err := os.CopyFS(other.dir, os.DirFS(m.dir)); err != nil {
		t.Fatal(err)
	}
	return other
}

// An outcome is what one run of signet came to.
type outcome struct {
	exit           int
	stdout, stderr string
	peak           int64 // bytes of memory
	took           time.Duration
}

// run runs signet.
func (m *machine) run(args ...string) outcome {
	m.t.Helper()
	name, env := program, environment(m.dir)
	if m.ahead != 0 {
		name, env = programClock, append(env, clockEnv+"="+m.ahead.String())
	}
	peak, err := os.CreateTemp(m.t.TempDir(), "peak-")
	if err == nil {
		err = peak.Close()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.CommandContext(m.t.Context(), programMeasure, append([]string{peak.Name(), name}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, m.dir, &stdout, &stderr
	started := time.Now()
	err = cmd.Run()
	o := outcome{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(started)}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		o.exit, err = exit.ExitCode(), nil
	}
	if err != nil {
		m.t.Fatal(err)
	}
	data, err := os.ReadFile(peak.Name())
	if err == nil {
		o.peak, err = strconv.ParseInt(string(data), 10, 64)
	}
	if err != nil {
		m.t.Fatalf("signet %v: %v\n%s", args, err, o.stderr)
	}
	o.peak <<= 10
	if o.took > patience {
		m.t.Errorf("signet %v took %s", args, o.took)
	}
	if strings.Contains(o.stderr, "goroutine ") {
		m.t.Errorf("signet %v panicked:\n%s", args, o.stderr)
	}
	return o
}

// must runs signet and demands that it succeeds.
func (m *machine) must(args ...string) string {
	m.t.Helper()
	o := m.run(args...)
	if o.exit != 0 {
		m.t.Fatalf("signet %v: exit status %d\n%s", args, o.exit, o.stderr)
	}
	return o.stdout
}

// verify asks for an image, in JSON.
func (m *machine) verify(image string, args ...string) (outcome, client.Decision) {
	m.t.Helper()
	o := m.run(append([]string{"verify", "--output", "json", image}, args...)...)
	var d client.Decision
	if err := json.Unmarshal([]byte(o.stdout), &d); err != nil {
		m.t.Fatalf("signet verify %s: %v in %q\n%s", image, err, o.stdout, o.stderr)
	}
	return o, d
}

// trusts demands that image is trusted as digest.
func (m *machine) trusts(image, digest string, args ...string) client.Decision {
	m.t.Helper()
	o, d := m.verify(image, args...)
	if o.exit != 0 || !d.Trusted || d.Digest != digest || d.Reference != d.Repository+"@"+digest {
		m.t.Fatalf("%s: exit status %d, %+v, expected %s\n%s", image, o.exit, d, digest, o.stderr)
	}
	return d
}

// refuses demands the verdict of untrusted by a rule, that nothing is printed which
// a script could run, and that what this machine has verified stays as it is.
func (m *machine) refuses(image string, rule tuf.Rule, args ...string) {
	m.t.Helper()
	m.refusesAndKeeps(nil, image, rule, args...)
}

// refusesAndKeeps is refuses where new files of these roles came along that are
// valid, and that are kept (§5.3.8, §5.4.5, §5.5.7).
func (m *machine) refusesAndKeeps(roles []string, image string, rule tuf.Rule, args ...string) {
	m.t.Helper()
	before := m.state()
	o, d := m.verify(image, args...)
	if o.exit != 3 || d.Trusted || d.Rule != rule || d.Reason == "" || d.Reference != "" || len(d.Signers) > 0 {
		m.t.Errorf("%s: exit status %d, %+v, expected a refusal by %q\n%s", image, o.exit, d, rule, o.stderr)
	}
	m.unchanged(before, roles)
}

// cannotTell demands exit status 1: no answer is no verdict. New files of roles may
// have come along.
func (m *machine) cannotTell(roles []string, image string, args ...string) outcome {
	m.t.Helper()
	before := m.state()
	o, d := m.verify(image, args...)
	if o.exit != 1 || d.Trusted || d.Rule != "" || d.Reference != "" {
		m.t.Errorf("%s: exit status %d, %+v, expected that it cannot be told\n%s", image, o.exit, d, o.stderr)
	}
	m.unchanged(before, roles)
	return o
}

// state is what this machine has verified, by file. Time and lock are not in it.
func (m *machine) state() map[string]string {
	m.t.Helper()
	files := map[string]string{}
	root := filepath.Join(m.dir, "state")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".json") {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, root)] = string(data)
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return files
}

// unchanged compares the state with what it was, but for roles.
func (m *machine) unchanged(before map[string]string, roles []string) {
	m.t.Helper()
	after := m.state()
	for _, files := range []map[string]string{before, after} {
		maps.DeleteFunc(files, func(name, _ string) bool {
			role := strings.TrimSuffix(filepath.Base(name), ".json")
			if filepath.Base(filepath.Dir(name)) == ".roots" {
				role = tuf.RoleRoot
			}
			return slices.Contains(roles, role)
		})
	}
	if diff := cmp.Diff(before, after); diff != "" {
		m.t.Errorf("what this machine has verified changed:\n%s", diff)
	}
}
