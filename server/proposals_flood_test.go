package server_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// A proposal may be as large as a publish, and takes several times its size to tell. One
// token has one of them told at a time, so that reading is no way to use up the memory.
func TestProposalsAreToldOneAtATime(t *testing.T) {
	h := harness.Start(t)
	b := newBoard(t, h)
	p := b.propose(t, b.next(t, "one"))
	var at atomic.Int32
	started, release, second := make(chan struct{}, 200), make(chan struct{}), make(chan struct{}, 200)
	h.StoreFaults.Before(func(_ context.Context, call string) error {
		if call == "Proposal" {
			started <- struct{}{}
			if at.Add(1) > 1 {
				second <- struct{}{}
			}
			<-release
			at.Add(-1)
		}
		return nil
	})
	const readers = 200
	statuses := make(chan int, readers)
	ask := func() {
		a, err := b.Client.Do(t.Context(), http.MethodGet, api.ProposalPath(app, p.ID), nil, nil)
		if err != nil {
			a = &harness.Answer{}
		}
		statuses <- a.Status
	}
	go ask()
	<-started
	for range readers - 1 {
		go ask()
	}
	// Who finds no place to wait is told so at once, which shows that the others wait.
	got := map[int]int{}
	left := readers
	for ; left > 64; left-- {
		select {
		case status := <-statuses:
			got[status]++
		case <-second:
			left = 0
		}
	}
	close(release)
	if left < 64 {
		t.Fatal("two are told at once")
	}
	for range left {
		got[<-statuses]++
	}
	if got[http.StatusOK] == 0 || got[http.StatusOK]+got[http.StatusTooManyRequests] != readers || len(second) > 0 {
		t.Errorf("answers %v, %d told beside another", got, len(second))
	}
}

// Whoever may propose cannot make the list more than clients read: files and signatures
// of one's own making, none of which will ever count, are many only up to a bound.
func TestProposalListIsBounded(t *testing.T) {
	h := harness.Start(t)
	b := newBoard(t, h)
	var keys []tuf.Signer
	listed := map[string]*metadata.Key{}
	for range 8 {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		key, err := tuf.NewSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
		listed[key.Key().ID()] = key.Key().Metadata()
	}
	b.Targets.Signed.Version++
	base := *b.Targets
	largest := 0
	for _, n := range []int{4, 8} {
		targets := base
		targets.Signed.Delegations = &metadata.Delegations{Keys: listed}
		files := []tuf.File{{}}
		for i := range api.MaxFiles - 1 {
			name := fmt.Sprintf("eve-%d-%d", n, i)
			targets.Signed.Delegations.Roles = append(targets.Signed.Delegations.Roles, metadata.DelegatedRole{
				Name: name, KeyIDs: slices.Collect(maps.Keys(listed)), Threshold: 1, Paths: []string{app + ":*", app + ":*@sha256:*"}})
			file := tuf.NewTargets(1, h.Clock.Now().Add(20*day))
			if err := tuf.Sign(t.Context(), file, keys[:n]...); err != nil {
				t.Fatal(err)
			}
			data, err := tuf.Encode(file)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, tuf.File{Role: name, Version: 1, Bytes: data})
		}
		b.Targets = &targets
		files[0] = b.by(t)
		before, err := json.Marshal(b.list(t))
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.post("", request(files...))
		if errors.Is(err, tuf.RuleLimit) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		after, err := json.Marshal(b.list(t))
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, len(after)-len(before))
	}
	if largest == 0 || largest*api.MaxProposals > api.MaxAnswer {
		t.Errorf("the largest that was taken has %d bytes in a list; clients read %d of %d", largest, api.MaxAnswer, api.MaxProposals)
	}
}
