package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// names proposes repositories that are not there.
type names struct {
	h     *harness.Harness
	token string
}

// name is one of many.
func name(n int) string { return fmt.Sprintf("registry.example/new/app-%d", n) }

// first are the first files of one of many, with so much beside them.
func (n names) first(t *testing.T, which, padding int) []tuf.File {
	t.Helper()
	p := n.h.Publisher(t, name(which))
	files := p.First(t)
	if padding > 0 {
		p.Targets.Signed.UnrecognizedFields = map[string]any{"x-padding": strings.Repeat("a", padding)}
		files[1] = p.SignTargets(t)
	}
	return files
}

func (n names) post(c *harness.Client, which int, files []tuf.File) (*api.Proposal, error) {
	var p api.Proposal
	err := c.Call(context.Background(), http.MethodPost, api.ProposalsPath(name(which)), request(files...), &p)
	return &p, err
}

func (n names) propose(t *testing.T, which, padding int) (*api.Proposal, error) {
	t.Helper()
	return n.post(n.h.Client(n.token), which, n.first(t, which, padding))
}

// must is propose of what has to find room.
func (n names) must(t *testing.T, which, padding int) *api.Proposal {
	t.Helper()
	p, err := n.propose(t, which, padding)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (n names) withdraw(t *testing.T, which int, id string) {
	t.Helper()
	a, err := n.h.Client(n.token).Do(t.Context(), http.MethodDelete, api.ProposalPath(name(which), id), nil, nil)
	if err != nil || a.Status != http.StatusNoContent {
		t.Fatalf("%v, %v", a, err)
	}
}

// is tells whether what was proposed of a name is kept.
func (n names) is(t *testing.T, which int) bool {
	t.Helper()
	var list api.ProposalsResponse
	if err := n.h.Client(n.token).Call(t.Context(), http.MethodGet, api.ProposalsPath(name(which)), nil, &list); err != nil {
		t.Fatal(err)
	}
	return len(list.Proposals) > 0
}

func startNames(t *testing.T, change ...func(*harness.Config)) names {
	h := harness.Start(t, change...)
	return names{h, h.Token(t, []string{api.ScopeCreate, api.ScopePublish}, "**")}
}

// Names that nobody has used are without number. What one token has wait for them is
// not: what is published, withdrawn or expired makes room, other tokens have their own.
func TestWaitingIsBounded(t *testing.T) {
	n := startNames(t, func(c *harness.Config) { c.Server.Rates = server.Rates{Token: -1} })
	var all []*api.Proposal
	for i := range api.MaxWaiting {
		all = append(all, n.must(t, i, 0))
	}
	refused := func(which int) {
		t.Helper()
		_, err := n.propose(t, which, 0)
		if !errors.Is(err, tuf.RuleLimit) || !strings.Contains(err.Error(), "withdraw what is not needed: the oldest is ") {
			t.Fatalf("one more: %v", err)
		}
		if n.is(t, which) {
			t.Error("what was refused is kept")
		}
	}
	refused(1000)
	if _, err := n.post(n.h.Client(n.h.Token(t, []string{api.ScopeCreate}, "**")), 1000, n.first(t, 1000, 0)); err != nil {
		t.Errorf("another token: %v", err)
	}
	if _, err := n.propose(t, 0, 0); !errors.Is(err, tuf.RuleLimit) { // other keys: a second one of that name
		t.Errorf("a second one of a name: %v", err)
	}

	n.withdraw(t, 7, all[7].ID)
	n.must(t, 1001, 0)
	if n.is(t, 7) {
		t.Error("what was withdrawn did not make room")
	}
	refused(1002)

	if _, err := n.h.Client(n.token).Publish(t.Context(), name(8), all[8].Metadata()...); err != nil {
		t.Fatal(err)
	}
	n.must(t, 1002, 0)
	refused(1003)

	// What was withdrawn begins anew only where there is room for it.
	n.withdraw(t, 9, all[9].ID)
	n.withdraw(t, 10, all[10].ID)
	n.must(t, 1003, 0)
	n.must(t, 1004, 0)
	refused(1005)
	n.withdraw(t, 11, all[11].ID)
	if _, err := n.post(n.h.Client(n.token), 11, all[11].Metadata()); err != nil {
		t.Errorf("begun anew, in its own place: %v", err)
	}
	n.withdraw(t, 11, all[11].ID)
	other := n.h.Client(n.h.AdminToken)
	if _, err := n.post(other, 11, all[11].Metadata()); err != nil {
		t.Errorf("begun anew by another token: %v", err)
	}
	n.must(t, 1005, 0)
	if !n.is(t, 11) {
		t.Error("another token's is gone")
	}
	refused(1006)
	n.withdraw(t, 11, all[11].ID)
	if _, err := n.post(n.h.Client(n.token), 11, all[11].Metadata()); !errors.Is(err, tuf.RuleLimit) {
		t.Errorf("begun anew, in another token's place, where there is no room: %v", err)
	}

	n.h.Clock.Advance(api.ProposalLife)
	n.must(t, 1006, 0)
}

// They have the bytes of two publishes together at most.
func TestWaitingBytesAreBounded(t *testing.T) {
	n := startNames(t, func(c *harness.Config) { c.Server.MaxBody = 100_000 })
	one := n.must(t, 1, 40_000)
	for i := range 2 {
		n.must(t, 2+i, 40_000)
	}
	if _, err := n.propose(t, 4, 40_000); !errors.Is(err, tuf.RuleLimit) || !strings.Contains(err.Error(), "of which at most 200000 are kept; have the repositories created") {
		t.Fatalf("one more: %v", err)
	}
	n.withdraw(t, 1, one.ID)
	n.must(t, 4, 40_000)
	if n.is(t, 1) || !n.is(t, 2) {
		t.Error("what was withdrawn did not make room, or something else did")
	}
}

// Several requests at once, by way of two servers, do not get past the bound, and none is
// told anything but whether there was room.
func TestWaitingAtOnce(t *testing.T) {
	n := startNames(t, func(c *harness.Config) { c.Server.MaxBody = 100_000 })
	second := server.New(server.Config{Store: harness.NewStore(n.h.Store, &harness.Faults{}), Signer: n.h.Signer, Now: n.h.Clock.Now, Log: slog.New(slog.DiscardHandler), MaxBody: 100_000})
	listening := httptest.NewServer(second.Handler())
	defer listening.Close()
	here, there := n.h.Client(n.token), &harness.Client{URL: listening.URL, HTTP: http.DefaultClient, Token: n.token}
	const all, fit = 12, 3
	var files [all][]tuf.File
	for i := range files {
		files[i] = n.first(t, i, 40_000)
	}
	// The other server takes as many as fit after this one has counted.
	var once sync.Once
	n.h.StoreFaults.Before(func(_ context.Context, call string) error {
		if call == "PutProposal" {
			once.Do(func() {
				for i := range fit {
					if _, err := n.post(there, i, files[i]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		return nil
	})
	if _, err := n.post(here, fit, files[fit]); !errors.Is(err, tuf.RuleLimit) {
		t.Errorf("the one that had counted before: %v", err)
	}

	here.Token = n.h.Token(t, []string{api.ScopeCreate}, "**")
	there.Token = here.Token
	var crowd sync.WaitGroup
	var taken, refused atomic.Int32
	for i := fit; i < all; i++ {
		crowd.Go(func() {
			switch _, err := n.post([]*harness.Client{here, there}[i%2], i, files[i]); {
			case err == nil:
				taken.Add(1)
			case errors.Is(err, tuf.RuleLimit):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	crowd.Wait()
	if taken.Load() != fit || refused.Load() != all-2*fit {
		t.Errorf("%d were taken and %d refused of %d, where %d have room", taken.Load(), refused.Load(), all-fit, fit)
	}
}
