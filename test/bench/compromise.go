package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// What a report on a key goes through: so many repositories with so many tags, all
// signed by the key, are 100,000 recorded signatures.
const (
	reportRepositories = 100
	reportTags         = 1000
)

// Bars of the report: an admin waits for it, on a laptop.
const (
	barReportWall   = 60  // s
	barReportMemory = 512 // MiB
)

// compromise measures one `signet compromised` over 100,000 recorded signatures: the
// whole process, from reading each repository's past to printing the report as JSON.
func (b *bench) compromise() error {
	env := append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(b.dir, "report", "config"), "XDG_STATE_HOME="+filepath.Join(b.dir, "report", "state"),
		"XDG_DATA_HOME="+filepath.Join(b.dir, "report", "data"))
	signet := filepath.Join(b.bin, "signet")
	ca := filepath.Join(b.dir, "signet-data", "ca.pem")
	const pattern = "registry.example.com/report/*"
	for i := range reportRepositories {
		repository := strings.TrimSuffix(pattern, "*") + fmt.Sprintf("app-%03d", i)
		p, err := b.publisherOf(repository)
		if err != nil {
			return err
		}
		if _, err := p.Sign(b.ctx, client.SignRequest{Repository: repository, Tags: tags(0, reportTags), Signers: []tuf.Signer{b.publisher}}); err != nil {
			return err
		}
	}
	id := b.publisher.Key().ID()
	for _, args := range [][]string{
		{"login", b.url, "--ca", ca, "--token-file", filepath.Join(b.dir, "signet-data", "admin-token"), "--yes"},
		{"trust", "add", pattern, "--root-key", id, "--server", b.url, "--ca", ca},
	} {
		if _, err := b.measure(env, append([]string{signet}, args...)...); err != nil {
			return err
		}
	}
	c, err := b.measure(env, signet, "compromised", id, "--repository", pattern, "--output", "json")
	if err != nil {
		return err
	}
	if n := strings.Count(c.Out, `"only":true`); n != reportRepositories*reportTags {
		return fmt.Errorf("the report tells of %d signatures, and there are %d", n, reportRepositories*reportTags)
	}
	row("compromise/100000-signatures-wall", c.Wall.Seconds(), "s", barReportWall, false)
	row("compromise/100000-signatures-cpu", c.CPU.Seconds(), "s", barReportWall, false)
	row("compromise/100000-signatures-memory", mib(c.Peak), "MiB", barReportMemory, false)
	return nil
}
