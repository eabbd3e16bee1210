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

// catchupRoots is how many roots a verifier has slept through.
const catchupRoots = 20

// Bars of catching up: each root is one request and two signatures to check, and the
// rest is a verify like any other, so its bars and what 20 more small files may take.
const (
	barCatchupCPU      = barVerifyCPU + catchupRoots // ms: at most 1 ms for each root
	barCatchupRequests = catchupRoots + 1 + 4        // roots, the one that is not there, and what was published
)

// catchup measures a verifier that knows the first root of a repository whose root key
// was replaced twenty times since: one process that follows them all and verifies.
func (b *bench) catchup() error {
	const repository = "registry.example.com/team/sleepers"
	env := append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(b.dir, "config"), "XDG_STATE_HOME="+filepath.Join(b.dir, "sleepers"),
		"XDG_DATA_HOME="+filepath.Join(b.dir, "data"))
	signet := filepath.Join(b.bin, "static", "signet")
	p, err := b.publisherOf(repository)
	if err != nil {
		return err
	}
	sign := func(tag string) error {
		_, err := p.Sign(b.ctx, client.SignRequest{Repository: repository, Signers: []tuf.Signer{b.publisher},
			Tags: []client.TagTarget{{Tag: tag, Target: tuf.Target{Digest: b.digest, Length: 1}}}})
		return err
	}
	if err := sign("1.0"); err != nil {
		return err
	}
	if _, err := b.measure(env, signet, "trust", "add", repository, "--root-key", b.publisher.Key().ID(), "--server", b.url,
		"--ca", filepath.Join(b.dir, "signet-data", "ca.pem")); err != nil {
		return err
	}
	if _, err := b.measure(env, signet, "verify", "-q", repository+":1.0"); err != nil { // it knows the first root
		return err
	}
	asleep := filepath.Join(b.dir, "sleepers")
	first := filepath.Join(b.dir, "sleepers-first")
	if err := os.CopyFS(first, os.DirFS(asleep)); err != nil {
		return err
	}
	old := b.publisher
	for range catchupRoots {
		key, err := newKey()
		if err != nil {
			return err
		}
		if _, err := p.ChangeKeys(b.ctx, client.ChangeKeysRequest{Repository: repository, Role: tuf.RoleRoot, Add: []*tuf.Key{key.Key()},
			Remove: []string{old.Key().ID()}, Signers: []tuf.Signer{old, key}}); err != nil {
			return err
		}
		old = key
	}
	if err := sign("1.1"); err != nil {
		return err
	}
	var cpu, wall, awake []time.Duration
	requests := 0
	for range b.rounds {
		if err := os.RemoveAll(asleep); err != nil {
			return err
		}
		if err := os.CopyFS(asleep, os.DirFS(first)); err != nil {
			return err
		}
		before, err := b.served()
		if err != nil {
			return err
		}
		c, err := b.measure(env, signet, "verify", "-q", repository+":1.1")
		if err != nil {
			return err
		}
		if want := repository + "@" + b.digest; strings.TrimSpace(c.Out) != want {
			return fmt.Errorf("verify printed %q, want %q", c.Out, want)
		}
		after, err := b.served()
		if err != nil {
			return err
		}
		again, err := b.measure(env, signet, "verify", "-q", repository+":1.1")
		if err != nil {
			return err
		}
		cpu, wall, awake, requests = append(cpu, c.CPU), append(wall, c.Wall), append(awake, again.CPU), after-before
	}
	row("catchup/cpu", ms(median(cpu)), "ms", barCatchupCPU, false)
	row("catchup/requests", float64(requests), "requests", barCatchupRequests, false)
	fmt.Printf("# %d roots: %s ms wall; the same verifier again, awake: %s ms CPU\n", catchupRoots, number(ms(median(wall))), number(ms(median(awake))))
	return nil
}
