package main

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// Bars of a publish of one tag more: the peer's best figures, by number of tags.
var publishBars = []struct {
	tags                  int
	wall, client, servers float64 // ms
}{
	{10, 87, 41, 22},
	{1000, 240, 90, 50},
	{10000, 1600, 490, 290},
}

// publish measures one tag more in a repository that has 10, 1,000 and 10,000,
// from the first read of the state to the verified read back.
func (b *bench) publish() error {
	for _, bar := range publishBars {
		repository := fmt.Sprintf("registry.example.com/bench/tags-%d", bar.tags)
		p, err := b.publisherOf(repository)
		if err != nil {
			return err
		}
		if _, err := p.Sign(b.ctx, client.SignRequest{Repository: repository, Tags: tags(0, bar.tags), Signers: []tuf.Signer{b.publisher}}); err != nil {
			return err
		}
		var wall, cpu, server []time.Duration
		for round := range max(b.rounds/3, 3) {
			runtime.GC()
			used, err := cpuOf(b.server.Process.Pid)
			if err != nil {
				return err
			}
			own, started := ownCPU(), time.Now()
			if _, err := p.Sign(b.ctx, client.SignRequest{Repository: repository, Tags: tags(bar.tags+round, 1), Signers: []tuf.Signer{b.publisher}}); err != nil {
				return err
			}
			wall, cpu = append(wall, time.Since(started)), append(cpu, ownCPU()-own)
			now, err := cpuOf(b.server.Process.Pid)
			if err != nil {
				return err
			}
			server = append(server, now-used)
		}
		row(fmt.Sprintf("publish/%d-tags-wall", bar.tags), ms(median(wall)), "ms", bar.wall, false)
		row(fmt.Sprintf("publish/%d-tags-client-cpu", bar.tags), ms(median(cpu)), "ms", bar.client, false)
		row(fmt.Sprintf("publish/%d-tags-server-cpu", bar.tags), ms(median(server)), "ms", bar.servers, false)
	}
	return nil
}

// tags returns n tags from number first on.
func tags(first, n int) []client.TagTarget {
	list := make([]client.TagTarget, n)
	for i := range list {
		tag := fmt.Sprintf("v%d", first+i)
		list[i] = client.TagTarget{Tag: tag, Target: tuf.Target{
			Digest: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(tag))), Length: 1234, MediaType: "application/vnd.oci.image.index.v1+json",
		}}
	}
	return list
}

// ownCPU is the CPU time of this process so far.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
