package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// filesImages is how many images the measured file names.
const filesImages = 100

// Bars of verifying a file: less time than the leanest peer takes for as many images
// with as many at once, and no more CPU than as many processes of its take.
const (
	barFilesWall = 1000                       // ms
	barFilesCPU  = filesImages * barVerifyCPU // ms
)

// files measures `signet verify -f` of a list: one cold process with warm state. The
// images are of as many repositories, and all of one.
func (b *bench) files() error {
	images, err := b.deployed()
	if err != nil {
		return err
	}
	var several []string
	for i := range filesImages { // the images stand by repository
		several = append(several, images[i*deployedTags])
	}
	one, err := b.tagged("registry.example.com/files/app", filesImages)
	if err != nil {
		return err
	}
	env := append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(b.dir, "files", "config"), "XDG_STATE_HOME="+filepath.Join(b.dir, "files", "state"),
		"XDG_DATA_HOME="+filepath.Join(b.dir, "files", "data"))
	signet := filepath.Join(b.bin, "static", "signet")
	for _, pattern := range []string{deployedPattern, "registry.example.com/files/*"} {
		if _, err := b.measure(env, signet, "trust", "add", pattern, "--root-key", b.publisher.Key().ID(), "--server", b.url,
			"--ca", filepath.Join(b.dir, "signet-data", "ca.pem")); err != nil {
			return err
		}
	}
	lists := []struct {
		name      string
		images    []string
		cpu, wall []time.Duration
		peak      []int64
		requests  int
	}{{name: "100-repositories", images: several}, {name: "1-repository", images: one}}
	for i := range lists {
		if err := os.WriteFile(filepath.Join(b.dir, lists[i].name+".txt"), []byte(strings.Join(lists[i].images, "\n")+"\n"), 0o600); err != nil {
			return err
		}
	}
	for round := range 1 + max(b.rounds/2, 3) { // the first one fills state and caches
		for i := range lists {
			l := &lists[i]
			before, err := b.served()
			if err != nil {
				return err
			}
			c, err := b.measure(env, signet, "verify", "-q", "-f", l.name+".txt")
			if err != nil {
				return err
			}
			if n := strings.Count(c.Out, "@sha256:"); n != filesImages {
				return fmt.Errorf("verify -f printed %d digests for %d images:\n%s", n, filesImages, c.Out)
			}
			after, err := b.served()
			if err != nil {
				return err
			}
			if round > 0 {
				l.cpu, l.wall, l.peak, l.requests = append(l.cpu, c.CPU), append(l.wall, c.Wall), append(l.peak, c.Peak), after-before
			}
		}
	}
	for _, l := range lists {
		row("files/"+l.name+"-wall", ms(median(l.wall)), "ms", barFilesWall, false)
		row("files/"+l.name+"-cpu", ms(median(l.cpu)), "ms", barFilesCPU, false)
		fmt.Printf("# %s: %d images, %d requests, %s MiB\n", l.name, filesImages, l.requests, number(mib(median(l.peak))))
	}
	return nil
}
