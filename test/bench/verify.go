package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// Bars of verify: the cheapest peer's figures.
const (
	barVerifyCPU      = 13 // ms
	barVerifyPeak     = 14 // MiB
	barVerifyRequests = 2
	barBinary         = 10 // MB, stripped
)

// verify measures a cold process with warm state against `crane digest` of the
// same image, which asks the registry and trusts it.
func (b *bench) verify() error {
	image, err := tuf.ParseImage(b.image)
	if err != nil {
		return err
	}
	p, err := b.publisherOf(image.Repository)
	if err != nil {
		return err
	}
	_, err = p.Sign(b.ctx, client.SignRequest{Repository: image.Repository, Signers: []tuf.Signer{b.publisher},
		Tags: []client.TagTarget{{Tag: image.Tag, Target: tuf.Target{Digest: b.digest, Length: 1, MediaType: "application/vnd.oci.image.index.v1+json"}}}})
	if err != nil {
		return err
	}
	env := append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(b.dir, "config"), "XDG_STATE_HOME="+filepath.Join(b.dir, "state"), "XDG_DATA_HOME="+filepath.Join(b.dir, "data"))
	// Deploy tooling runs the static build; publishers' links the card library.
	signet, withCards, crane := filepath.Join(b.bin, "static", "signet"), filepath.Join(b.bin, "signet"), filepath.Join(b.bin, "crane")
	if _, err := b.measure(env, signet, "trust", "add", image.Repository, "--root-key", b.publisher.Key().ID(), "--server", b.url,
		"--ca", filepath.Join(b.dir, "signet-data", "ca.pem")); err != nil {
		return err
	}
	ours := []string{signet, "verify", "-q", b.image}
	cards := []string{withCards, "verify", "-q", b.image}
	theirs := []string{crane, "digest", "--insecure", b.image}
	for _, args := range [][]string{ours, cards, theirs} { // fill state and caches
		if _, err := b.measure(env, args...); err != nil {
			return err
		}
	}
	before, err := b.served()
	if err != nil {
		return err
	}
	b.registry.drain()
	var cpu, wall, floorCPU, floorWall []time.Duration
	var peak, floorPeak []int64
	var cardsCPU []time.Duration
	var cardsPeak []int64
	for range b.rounds {
		a, err := b.measure(env, ours...)
		if err != nil {
			return err
		}
		if want := image.Repository + "@" + b.digest; strings.TrimSpace(a.Out) != want {
			return fmt.Errorf("verify printed %q, want %q", a.Out, want)
		}
		c, err := b.measure(env, theirs...)
		if err != nil {
			return err
		}
		with, err := b.measure(env, cards...)
		if err != nil {
			return err
		}
		cardsCPU, cardsPeak = append(cardsCPU, with.CPU), append(cardsPeak, with.Peak)
		cpu, wall, peak = append(cpu, a.CPU), append(wall, a.Wall), append(peak, a.Peak)
		floorCPU, floorWall, floorPeak = append(floorCPU, c.CPU), append(floorWall, c.Wall), append(floorPeak, c.Peak)
	}
	after, err := b.served()
	if err != nil {
		return err
	}
	row("verify/cpu", ms(median(cpu)), "ms", barVerifyCPU, false)
	row("verify/peak-memory", mib(median(peak)), "MiB", barVerifyPeak, false)
	row("verify/requests", float64(after-before)/float64(2*b.rounds), "requests", barVerifyRequests, false)
	row("verify/cpu-to-crane", ratio(cpu, floorCPU), "x", 1, false)
	row("verify/wall-to-crane", ratio(wall, floorWall), "x", 1, false)
	row("verify/memory-to-crane", mib(median(peak))/mib(median(floorPeak)), "x", 1, false)
	fmt.Printf("# crane digest: %s ms CPU, %s ms wall, %s MiB, %d requests; verify itself: %s ms wall\n", number(ms(median(floorCPU))),
		number(ms(median(floorWall))), number(mib(median(floorPeak))), b.registry.drain()/b.rounds, number(ms(median(wall))))
	row("verify/yubikey-build-cpu", ms(median(cardsCPU)), "ms", barVerifyCPU, false)
	row("verify/yubikey-build-memory", mib(median(cardsPeak)), "MiB", barVerifyPeak, false)
	info, err := os.Stat(signet)
	if err != nil {
		return err
	}
	row("verify/binary", float64(info.Size())/1e6, "MB", barBinary, false)
	return nil
}

// ratio is the median of the ratios of what ran in the same round.
func ratio(a, b []time.Duration) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = float64(a[i]) / float64(b[i])
	}
	return median(ratios)
}
