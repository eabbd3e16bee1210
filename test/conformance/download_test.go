package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDownload(t *testing.T) {
	for _, path := range []string{"target_file.txt", "path/to/a/target_file.txt", "a b", "100%", "a?b#c", "é", "../../escape", "/absolute", "dir/", strings.Repeat("long", 100), "a+b", "-x"} {
		t.Run(path[:min(len(path), 20)], func(t *testing.T) {
			sim := newSimulator(t)
			c := newClient(t, sim)
			sim.artifact("targets", path, []byte("content"))
			sim.publish("targets", "snapshot", "timestamp")
			c.want(0, c.refresh())
			c.has()
			c.want(0, c.download(path))
			c.has("content")
			dir, name := splitPath(path)
			if got, want := sim.downloads(), dir+digest("sha256", []byte("content"))+"."+name; len(got) != 1 || got[0] != want {
				t.Errorf("asked for %q, want %q", got, want)
			}
			// Nothing left the folder.
			outside, err := os.ReadDir(filepath.Dir(c.targets))
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range outside {
				if !entry.IsDir() && !strings.HasSuffix(entry.Name(), ".json") {
					t.Errorf("%s is outside of the folder", entry.Name())
				}
			}
		})
	}
}

func TestWhatIsThereIsNotFetchedAgain(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	sim.artifact("targets", "file", []byte("content"))
	sim.publish("targets", "snapshot", "timestamp")
	c.want(0, c.download("file"))
	c.want(0, c.download("file"))
	if got := sim.downloads(); len(got) != 1 {
		t.Errorf("asked for %q", got)
	}
	// A file that was changed here is fetched anew.
	entries, err := os.ReadDir(c.targets)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if err := os.WriteFile(filepath.Join(c.targets, entries[0].Name()), []byte("Content"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.want(0, c.download("file"))
	c.has("content")
}

func TestSubstitutedFileIsNotKept(t *testing.T) {
	for claim, evil := range map[string]string{"longer": "malicious data", "shorter": "x", "of the same length": "CONTENT", "empty": ""} {
		t.Run(claim, func(t *testing.T) {
			sim := newSimulator(t)
			c := newClient(t, sim)
			sim.artifact("targets", "one", []byte("content"))
			sim.artifact("targets", "two", []byte("content"))
			sim.publish("targets", "snapshot", "timestamp")
			c.want(0, c.download("one"))
			sim.artifacts["one"], sim.artifacts["two"] = []byte(evil), []byte(evil)
			c.want(0, c.download("one")) // it is there
			c.has("content")
			c.want(1, c.download("two"))
			c.has("content")
		})
	}
}

func TestTargetsThatChangeAgainAndAgain(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	sim.artifact("targets", "file", []byte("first"))
	sim.publish("targets", "snapshot", "timestamp")
	c.want(0, c.download("file"))
	var others []string
	for i := range 11 {
		content := fmt.Sprint("content ", i)
		sim.artifact("targets", "file", []byte(content))
		sim.artifact("targets", fmt.Sprint("new-", i), []byte(fmt.Sprint("new ", i)))
		sim.publish("targets", "snapshot", "timestamp")
		if i%5 != 0 { // the client does not see each version
			continue
		}
		c.want(0, c.download("file"))
		c.has(append(others, content)...)
		c.want(0, c.download(fmt.Sprint("new-", i)))
		others = append(others, fmt.Sprint("new ", i))
		c.has(append(others, content)...)
		sim.artifacts["file"] = []byte("malicious")
		sim.publish("targets", "snapshot", "timestamp")
		c.run("--metadata-url", sim.url+"/metadata", "--metadata-dir", c.metadata, "--target-name", "file", "--target-dir", c.targets, "--target-base-url", sim.url+"/targets", "download")
		c.has(append(others, content)...)
	}
}

func TestHashAlgorithms(t *testing.T) {
	for _, algorithms := range [][]string{{"sha256"}, {"sha512"}, {"sha256", "sha512"}} {
		t.Run(strings.Join(algorithms, " "), func(t *testing.T) {
			sim := newSimulator(t)
			c := newClient(t, sim)
			sim.artifact("targets", "file", []byte("content"), algorithms...)
			sim.publish("targets", "snapshot", "timestamp")
			c.want(0, c.download("file"))
			c.has("content")
			if got, want := sim.downloads(), digest(algorithms[0], []byte("content"))+".file"; len(got) != 1 || got[0] != want {
				t.Errorf("asked for %q, want %q", got, want)
			}
		})
	}
	for claim, hashes := range map[string]object{
		"an algorithm that nobody knows":    {"unknown-hash": digest("sha512", []byte("content"))},
		"one right and one wrong":           {"sha256": digest("sha256", []byte("content")), "sha512": digest("sha512", []byte("other"))},
		"one right and one that is no hash": {"sha256": digest("sha256", []byte("content")), "sha512": "00"},
	} {
		t.Run(claim, func(t *testing.T) {
			sim := newSimulator(t)
			c := newClient(t, sim)
			sim.artifact("targets", "file", []byte("content"))
			in(sim.md["targets"], "targets", "file")["hashes"] = hashes
			sim.publish("targets", "snapshot", "timestamp")
			c.want(1, c.download("file"))
			c.has()
		})
	}
}

// Several targets are taken in order, up to the first failure.
func TestSeveralTargetsInOneDownload(t *testing.T) {
	sim := newSimulator(t)
	c := newClient(t, sim)
	for _, name := range []string{"one", "two", "three"} {
		sim.artifact("targets", name, []byte(name))
	}
	sim.publish("targets", "snapshot", "timestamp")
	c.want(1, c.download("two", "nothing", "one"))
	c.has("two")
	c.asked("root 2", "timestamp", "snapshot 2", "targets 2") // once for all of them
	c.want(0, c.download("two", "three", "one"))
	c.has("one", "two", "three")
	if got := sim.downloads(); len(got) != 3 || !strings.HasSuffix(got[0], ".two") || !strings.HasSuffix(got[1], ".three") || !strings.HasSuffix(got[2], ".one") {
		t.Errorf("asked for %q", got)
	}
}

func TestUsage(t *testing.T) {
	sim := newSimulator(t)
	c := emptyClient(t, sim)
	for _, args := range [][]string{{"fly"}, {"refresh"}, {"init"}, {"--metadata-dir", c.metadata, "init"}, {"--metadata-dir", c.metadata, "refresh"},
		{"--metadata-dir", c.metadata, "--metadata-url", sim.url, "--target-dir", c.targets, "--target-base-url", sim.url, "download"},
		{"--metadata-dir", c.metadata, "init", filepath.Join(c.targets, "missing.json")}, {"--nonsense", "refresh"}} {
		c.want(1, c.run(args...))
	}
	c.want(1, c.refresh()) // never initialised
	c.asked()
}
