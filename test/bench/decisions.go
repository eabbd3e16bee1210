package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// Bars of decisions that are answered from memory, on two cores: what a gate must
// give so that nobody notices it, with ten thousand pods at once.
const (
	barDecisions    = 20_000 // a second
	barDecisionsP99 = 1      // ms
)

// What is deployed: so many repositories of so many tags each.
const (
	deployedRepositories = 100
	deployedTags         = 10
	deployedPattern      = "registry.example.com/deployed/*"
)

// decisions measures the policy engine over a client.Watcher, in this process, with
// everything in memory and the background refreshing from a real server. Askers ask
// one question after another, without a pause.
func (b *bench) decisions() error {
	images, err := b.deployed()
	if err != nil {
		return err
	}
	read, err := policy.Read([]byte(b.policy()), "policy.yaml")
	if err != nil {
		return err
	}
	// Six times as often as by default, so that refreshes fall into each round.
	watcher := client.NewWatcher(client.New(client.Config{StateDir: filepath.Join(b.dir, "watcher")}), client.WatchConfig{Refresh: 10 * time.Second})
	defer watcher.Close()
	engine := policy.New(policy.Config{Policy: read, Verifier: watcher})
	decide := func(ctx context.Context, image string) error {
		decision, err := engine.Decide(ctx, policy.Question{Image: image, Platform: "linux/amd64"})
		if err == nil && !decision.Trusted {
			err = fmt.Errorf("%s is not trusted", image)
		}
		return err
	}
	for _, image := range images {
		if err := decide(b.ctx, image); err != nil {
			return err
		}
	}
	warm := watcher.Stats().Updates
	for _, askers := range []int{1, 16, 256} {
		var rates, p99s, slowest, calm []float64
		for range max(b.rounds/3, 3) {
			a, err := ask(b.ctx, askers, 0, images, decide)
			if err != nil {
				return err
			}
			paced, err := ask(b.ctx, askers, time.Duration(askers)*time.Second/barDecisions, images, decide)
			if err != nil {
				return err
			}
			rates, p99s, slowest, calm = append(rates, a.rate), append(p99s, ms(a.at(0.99))), append(slowest, ms(a.at(0.999))), append(calm, ms(paced.at(0.99)))
		}
		name := fmt.Sprintf("decisions/by-%d", askers)
		row(name, median(rates), "/s", barDecisions, true)
		row(name+"-p99", median(p99s), "ms", barDecisionsP99, false)
		fmt.Printf("# by %d: p99.9 %s ms; p99 when together they ask %d times a second: %.3f ms\n", askers, number(median(slowest)), barDecisions, median(calm))
	}
	stats := watcher.Stats()
	if stats.Troubles+stats.Refusals > 0 {
		return fmt.Errorf("%d refreshes did not find out, %d were refused", stats.Troubles, stats.Refusals)
	}
	fmt.Printf("# %d repositories, %d images; %d refreshes in the background meanwhile\n", stats.Repositories, stats.Answers, stats.Updates-warm)
	return nil
}

// asked is how one round of questions went.
type asked struct {
	rate float64         // a second
	took []time.Duration // of each, sorted
}

// at returns how long the fastest such part of the questions took at most.
func (a asked) at(part float64) time.Duration { return a.took[int(float64(len(a.took)-1)*part)] }

// askTime is how long one round of questions lasts.
const askTime = time.Second

// ask lets so many askers ask for a while, each about all images in turn: one question
// after another or, where pause is given, one in each such time.
func ask(ctx context.Context, askers int, pause time.Duration, images []string, decide func(context.Context, string) error) (asked, error) {
	took := make([][]time.Duration, askers)
	var over atomic.Bool
	var failed atomic.Pointer[error]
	var asking sync.WaitGroup
	began := time.Now()
	timer := time.AfterFunc(askTime, func() { over.Store(true) })
	defer timer.Stop()
	for i := range askers {
		asking.Go(func() {
			next := time.Now().Add(pause * time.Duration(i) / time.Duration(askers)) // not all at once
			for n := i * len(images) / askers; !over.Load(); n++ {
				if pause > 0 {
					time.Sleep(time.Until(next))
					next = next.Add(pause)
				}
				began := time.Now()
				if err := decide(ctx, images[n%len(images)]); err != nil {
					failed.Store(&err)
					over.Store(true)
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	asking.Wait()
	wall := time.Since(began)
	if err := failed.Load(); err != nil {
		return asked{}, *err
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	return asked{rate: float64(len(all)) / wall.Seconds(), took: all}, nil
}

// deployed publishes repositories with some tags each, once, and returns the images.
func (b *bench) deployed() ([]string, error) {
	if b.images != nil {
		return b.images, nil
	}
	var images []string
	for i := range deployedRepositories {
		repository := strings.TrimSuffix(deployedPattern, "*") + fmt.Sprintf("app-%03d", i)
		these, err := b.tagged(repository, deployedTags)
		if err != nil {
			return nil, err
		}
		images = append(images, these...)
	}
	b.images = images
	return images, nil
}

// tagged publishes a repository with so many tags, and returns its images.
func (b *bench) tagged(repository string, n int) ([]string, error) {
	p, err := b.publisherOf(repository)
	if err != nil {
		return nil, err
	}
	targets := tags(0, n)
	images := make([]string, n)
	for i := range targets {
		targets[i].Target.Platforms = []string{"linux/amd64", "linux/arm64"}
		images[i] = repository + ":" + targets[i].Tag
	}
	_, err = p.Sign(b.ctx, client.SignRequest{Repository: repository, Tags: targets, Signers: []tuf.Signer{b.publisher}})
	return images, err
}

// policy is one as an operator may have: ten rules, of which the last decides about
// what is deployed, and pins it.
func (b *bench) policy() string {
	var text strings.Builder
	anchors := fmt.Sprintf("anchors: [{root-keys: [%s], servers: [%q], ca: %s}]", b.publisher.Key().ID(), b.url, strconv.Quote(string(b.ca)))
	text.WriteString("version: 1\nrules:\n")
	for i := range 9 {
		fmt.Fprintf(&text, "  - {name: team-%d, images: [registry.example.com/team-%d/**], %s}\n", i, i, anchors)
	}
	fmt.Fprintf(&text, "  - {name: deployed, images: [%q], %s, current: true, platforms: [linux/amd64], max-age: {checked: 1h, signed: 90d}, unreachable: last}\n", deployedPattern, anchors)
	text.WriteString("kubernetes:\n  rewrite: [{pin: true}]\n")
	return text.String()
}
