package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// folder is where the bench's state is.
func (b *bench) folder() string {
	dir, err := stateDir(b.config.StateDir, appName)
	if err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// TestDamagedStateHeals damages each file in several ways. All are fetched anew,
// and what is intact still protects.
func TestDamagedStateHeals(t *testing.T) {
	for _, name := range []string{"root.json", "timestamp.json", "snapshot.json", "targets.json", ".marks"} {
		for how, damage := range map[string]func(path string) error{
			"truncated": func(path string) error { return os.Truncate(path, 100) },
			"emptied":   func(path string) error { return os.Truncate(path, 0) },
			"garbled":   func(path string) error { return os.WriteFile(path, []byte("\x00\xff{}"), 0o600) },
			"swapped":   func(path string) error { return os.WriteFile(path, []byte(`{"signed":{},"signatures":[]}`), 0o600) },
			"gone":      os.Remove,
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				b := newBench(t)
				b.repo.nextRoot(nil)
				old := b.repo.served()
				b.repo.sign("1.0", digestOf("two"))
				b.trusts("1.0", "two")
				path := filepath.Join(b.folder(), name)
				whole, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := damage(path); err != nil {
					t.Fatal(err)
				}
				now := b.repo.served()
				b.repo.serve(old)
				b.refuses("1.0", tuf.RuleRollback)
				b.repo.serve(now)
				b.trusts("1.0", "two")
				b.trusts("1.0", "two")
				if name == "root.json" || name == ".marks" {
					return // the kept root does as well, and marks differ
				}
				if healed, err := os.ReadFile(path); err != nil || string(healed) != string(whole) {
					t.Errorf("%s was not healed: %v", name, err)
				}
			})
		}
	}
}

// TestDamagedRootKeepsTheChain hides the newer root from somebody whose root.json
// was damaged.
func TestDamagedRootKeepsTheChain(t *testing.T) {
	b := newBench(t)
	old := b.repo.served()
	fresh := newKey(t)
	b.repo.nextRoot(func(root *tuf.Root) {
		b.repo.must(tuf.SetRoleKeys(root, tuf.RoleTimestamp, tuf.RoleKeys{Keys: publicKeys(fresh)}))
	})
	b.repo.timestampKeys = []tuf.Signer{fresh}
	b.repo.release()
	b.trusts("1.0", "one")
	if err := os.WriteFile(filepath.Join(b.folder(), "root.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.repo.serve(old)
	b.refuses("1.0", tuf.RuleThreshold)
}

func TestClockThatStepsBack(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	b.clock.Add(-4 * time.Minute)
	b.trusts("1.0", "one")
	b.clock.Add(-2 * time.Minute)
	b.refuses("1.0", tuf.RuleClock)
	if _, err := b.client().Verify(t.Context(), b.image(appName+":1.0"), Options{Offline: true}); tuf.RuleOf(err) != tuf.RuleClock {
		t.Errorf("offline: %v", err)
	}
	if err := b.client().ResetClock(t.Context(), appName); err != nil {
		t.Fatal(err)
	}
	b.trusts("1.0", "one")
}

// TestOfflineMarksTheTime does not let an offline verifier go back in time.
func TestOfflineMarksTheTime(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	b.clock.Add(2 * time.Hour)
	if _, err := b.client().Verify(t.Context(), b.image(appName+":1.0"), Options{Offline: true}); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(-time.Hour)
	b.refuses("1.0", tuf.RuleClock)
}

func TestStateIsForTheUserOnly(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	err := filepath.WalkDir(b.folder(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && openToOthers(info) {
			t.Errorf("%s has the mode %v", path, info.Mode())
		}
		if strings.HasSuffix(path, ".new") {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestStateThatCannotBeWritten fails closed online, and still answers offline.
func TestStateThatCannotBeWritten(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	// A folder where the marks' temporary file should be stops every write, for
	// root as well, whom modes do not stop.
	block := filepath.Join(b.folder(), "..marks.new")
	if err := os.Mkdir(block, 0o700); err != nil {
		t.Fatal(err)
	}
	b.clock.Add(2 * time.Hour)
	b.repo.sign("1.0", digestOf("two"))
	d, err := b.verify("1.0")
	if _, ok := errors.AsType[*stateError](err); !ok || tuf.IsRefusal(err) || d.Trusted || !strings.Contains(err.Error(), "could not be remembered") {
		t.Errorf("got %+v, %v", d, err)
	}
	if d, err := b.client().Verify(t.Context(), b.image(appName+":1.0"), Options{Offline: true}); err != nil || d.Digest != digestOf("one") {
		t.Errorf("offline: %+v, %v", d, err)
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	b.trusts("1.0", "two")
	b.config.StateDir = filepath.Join(b.folder(), "root.json") // a file, not a folder
	if d, err := b.verify("1.0"); err == nil || tuf.IsRefusal(err) || d.Trusted {
		t.Errorf("got %+v, %v", d, err)
	}
	b.config.StateDir = ""
	if d, err := b.verify("1.0"); err == nil || tuf.IsRefusal(err) || d.Trusted {
		t.Errorf("got %+v, %v", d, err)
	}
}

// TestAnotherProcessSavesFirst begins an update anew when the state moved under it.
func TestAnotherProcessSavesFirst(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	b.repo.stamp(b.repo.timestamp.Version + 1)
	inner := b.client()
	old, _ := b.repo.file("timestamp.json")
	var done atomic.Bool // the inner one asks the server, too
	b.server.setIntercept(func(w responseWriter, r *request) bool {
		if !strings.HasSuffix(r.URL.Path, "timestamp.json") || done.Swap(true) {
			return false
		}
		b.repo.sign("1.0", digestOf("two"))
		if _, err := inner.Verify(t.Context(), tuf.Image{Repository: appName, Tag: "1.0"}, Options{}); err != nil {
			t.Error(err)
		}
		w.Write(old) // this answer was on its way all the time
		return true
	})
	b.trusts("1.0", "two")
	if stored, err := os.ReadFile(filepath.Join(b.folder(), "timestamp.json")); err != nil || string(stored) == string(old) {
		t.Errorf("the stored timestamp stepped back: %v", err)
	}
}

// TestSaveOnTopOfAnother refuses to write over what was saved since.
func TestSaveOnTopOfAnother(t *testing.T) {
	folder := t.TempDir()
	file := func(word string) []tuf.File { return []tuf.File{{Role: "timestamp", Version: 1, Bytes: []byte(word)}} }
	first, err := OpenDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Save(t.Context(), file("newer")); err != nil {
		t.Fatal(err)
	}
	if err := second.Save(t.Context(), file("older")); !errors.Is(err, errMoved) {
		t.Errorf("got %v", err)
	}
	if data, err := second.Load("timestamp"); err != nil || string(data) != "newer" {
		t.Errorf("%q, %v", data, err)
	}
	if err := first.Save(t.Context(), file("newest")); err != nil {
		t.Error(err)
	}
}

// TestManyProcesses has real processes verify one repository at once, while it is
// published to. None may fail, and the state never steps back.
func TestManyProcesses(t *testing.T) {
	if os.Getenv("SIGNET_TEST_VERIFY") != "" {
		verifyInChild(t)
		return
	}
	b := newBench(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(b.server.ca()), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			child := exec.Command(program, "-test.run=^TestManyProcesses$", "-test.v")
			child.Env = append(os.Environ(), "SIGNET_TEST_VERIFY="+b.server.URL, "SIGNET_TEST_CA="+ca, "SIGNET_TEST_STATE="+b.config.StateDir, "SIGNET_TEST_KEY="+b.anchor.RootKeys[0])
			if out, err := child.CombinedOutput(); err != nil {
				t.Errorf("process %d: %v\n%s", i, err, out)
			}
		})
	}
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	var last int64
	for n := 0; ; n++ {
		select {
		case <-done:
			if last == 0 {
				t.Error("the state was never seen")
			}
			b.trusts("n", fmt.Sprint(n-1))
			return
		default:
		}
		b.repo.sign("n", digestOf(strconv.Itoa(n)))
		data, err := os.ReadFile(filepath.Join(b.folder(), "timestamp.json"))
		if err != nil {
			continue // not there yet
		}
		timestamp, err := tuf.ReadTimestamp(data)
		if err != nil {
			t.Errorf("half a file: %v", err)
			continue
		}
		if timestamp.Signed.Version < last {
			t.Errorf("timestamp %d after %d", timestamp.Signed.Version, last)
		}
		last = timestamp.Signed.Version
	}
}

func verifyInChild(t *testing.T) {
	ca, err := os.ReadFile(os.Getenv("SIGNET_TEST_CA"))
	if err != nil {
		t.Fatal(err)
	}
	clock := newClock()
	c := New(Config{StateDir: os.Getenv("SIGNET_TEST_STATE"), Now: clock.Now, Anchors: Anchors{{
		Pattern: appName, RootKeys: []string{os.Getenv("SIGNET_TEST_KEY")}, Servers: []string{os.Getenv("SIGNET_TEST_VERIFY")}, CA: string(ca)}}})
	var last int64
	for range 10 {
		d, err := c.Verify(t.Context(), tuf.Image{Repository: appName, Tag: "1.0"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d.Versions["targets"] < last {
			t.Fatalf("targets %d after %d", d.Versions["targets"], last)
		}
		last = d.Versions["targets"]
	}
}

func TestForget(t *testing.T) {
	b := newBench(t)
	below := newRepo(t, appName+"/below", b.clock).start() // its state is in a folder of ours
	below.rootKeys = b.repo.rootKeys
	b.trusts("1.0", "one")
	if err := os.MkdirAll(filepath.Join(b.folder(), "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.client().Forget(t.Context(), appName); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(b.folder(), "root.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("root.json is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(b.folder(), "below")); err != nil {
		t.Errorf("another repository's state is gone: %v", err)
	}
	b.trusts("1.0", "one")
	if err := b.client().Forget(t.Context(), "registry.example.com/never/seen"); err != nil {
		t.Error(err)
	}
}

func TestStateDirIsOnePerRepository(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"localhost:5000/a", "localhost/5000/a", "[::1]:5000/a", "a.example/b", "a.example/b/c", "a.example:80/b"} {
		dir, err := stateDir("state", name)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[dir]; ok || strings.Contains(dir, ":") {
			t.Errorf("%s and %s share %s", name, other, dir)
		}
		seen[dir] = name
	}
	for _, name := range []string{"", "..", "a.example/../b", "a.example//b", "/etc", `a.example\b`} {
		if dir, err := stateDir("state", name); err == nil {
			t.Errorf("%q has the folder %s", name, dir)
		}
	}
}

// TestFilesOfRoles keeps apart what a file system without upper and lower case,
// or Windows with its devices, would put into one file.
func TestFilesOfRoles(t *testing.T) {
	long := strings.Repeat("a", 256)
	seen := map[string]string{}
	for _, role := range []string{"root", "Root", "ROOT", "timestamp", "Timestamp", "TIMESTAMP", "snapshot", "snapShot", "targets", "Targets",
		"ci", "CI", "%43i", "%63i", "c/i", "..", "con", "CON", "con.x", "nul", "com1", "lpt9", "console", long, strings.ToUpper(long), "\u017fnapshot"} {
		name := fileOf(role)
		if other, taken := seen[strings.ToLower(name)]; taken {
			t.Errorf("%q and %q are both in %s", role, other, name)
		}
		seen[strings.ToLower(name)] = role
		stem, _, _ := strings.Cut(name, ".")
		if len(name) > 250 || isDevice(stem) || strings.ContainsAny(name, "/\\:*?\"<>|") || !strings.HasSuffix(name, ".json") {
			t.Errorf("%q is in %q", role, name)
		}
	}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", "release-1"} {
		if fileOf(role) != role+".json" {
			t.Errorf("%s is in %s", role, fileOf(role))
		}
	}
}
