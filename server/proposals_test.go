package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/test/postgres"
	"github.com/signet-trust/signet/tuf"
)

// A board is a repository whose targets two of four keys have to sign.
type board struct {
	*harness.Publisher
	h    *harness.Harness
	keys []tuf.Signer
}

func newBoard(t *testing.T, h *harness.Harness) *board {
	t.Helper()
	b := &board{Publisher: h.Publisher(t, app), h: h}
	var listed tuf.RoleKeys
	for range 4 {
		key := harness.NewKey(t)
		b.keys = append(b.keys, key)
		listed.Keys = append(listed.Keys, key.Key())
	}
	listed.Threshold = 2
	b.First(t)
	if err := tuf.SetRoleKeys(b.Root, tuf.RoleTargets, listed); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Client.Publish(t.Context(), app, b.SignRoot(t), b.by(t, b.keys[:2]...)); err != nil {
		t.Fatal(err)
	}
	return b
}

// next makes a tag mean something in the next targets, signed by some.
func (b *board) next(t *testing.T, digest string, signers ...tuf.Signer) tuf.File {
	t.Helper()
	b.Tag(t, "1.0", harness.Digest("%s", digest))
	b.Targets.Signed.Version++
	return b.by(t, signers...)
}

// by signs the targets as they are.
func (b *board) by(t *testing.T, signers ...tuf.Signer) tuf.File {
	t.Helper()
	b.Targets.ClearSignatures()
	if err := tuf.Sign(context.Background(), b.Targets, signers...); err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(b.Targets)
	if err != nil {
		t.Fatal(err)
	}
	return tuf.File{Role: tuf.RoleTargets, Version: b.Targets.Signed.Version, Bytes: data}
}

// request is the body that proposes files.
func request(files ...tuf.File) api.ProposalRequest {
	return api.ProposalRequest{Files: api.NewPublishRequest(files).Files}
}

// post proposes, or signs where there is an ID.
func (b *board) post(id string, r api.ProposalRequest) (*api.Proposal, error) {
	path := api.ProposalsPath(app)
	if id != "" {
		path = api.ProposalPath(app, id)
	}
	var p api.Proposal
	if err := b.Client.Call(context.Background(), http.MethodPost, path, r, &p); err != nil {
		return nil, err
	}
	return &p, nil
}

func (b *board) propose(t *testing.T, files ...tuf.File) *api.Proposal {
	t.Helper()
	p, err := b.post("", request(files...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (b *board) get(t *testing.T, id string) *api.Proposal {
	t.Helper()
	var p api.Proposal
	if err := b.Client.Call(t.Context(), http.MethodGet, api.ProposalPath(app, id), nil, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func (b *board) list(t *testing.T) []api.ProposalSummary {
	t.Helper()
	var list api.ProposalsResponse
	if err := b.Client.Call(t.Context(), http.MethodGet, api.ProposalsPath(app), nil, &list); err != nil {
		t.Fatal(err)
	}
	return list.Proposals
}

// withdraw takes one back and returns the answer's status.
func (b *board) withdraw(t *testing.T, id string) int {
	t.Helper()
	a, err := b.Client.Do(t.Context(), http.MethodDelete, api.ProposalPath(app, id), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a.Status
}

func ids(signers ...tuf.Signer) []string {
	var list []string
	for _, s := range signers {
		list = append(list, s.Key().ID())
	}
	slices.Sort(list)
	return list
}

func signedBy(t *testing.T, p *api.Proposal) []string {
	t.Helper()
	list, err := tuf.SignatureKeys(p.Files[0].Role, p.Files[0].Content)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Two people sign one after the other, and the second publishes what they signed.
func TestProposal(t *testing.T) {
	h := harness.Start(t)
	b := newBoard(t, h)
	file := b.next(t, "one", b.keys[0], harness.NewKey(t)) // a stranger's signature beside it
	first := request(file)
	first.Note, first.Intent = "release 1.0\nas talked about", json.RawMessage(`{"kind":"sign"}`)
	p, err := b.post("", first)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := tuf.ProposalID(app, []tuf.File{file}); err != nil || p.ID != want || p.State != api.ProposalOpen {
		t.Fatalf("%s is %s, expected %s to be open", p.ID, p.State, want)
	}
	if got := signedBy(t, p); !slices.Equal(got, ids(b.keys[0])) {
		t.Errorf("signed by %v, expected the one key that may", got)
	}
	if p.Note != first.Note || string(p.Intent) != string(first.Intent) || p.Repository != app || p.Token == "" || !p.Expires.Equal(p.Created.Add(api.ProposalLife)) {
		t.Errorf("it is told as %+v", p)
	}
	if list := b.list(t); len(list) != 1 || list[0].ID != p.ID || list[0].Files[0].Role != tuf.RoleTargets || list[0].Files[0].Version != 2 ||
		!slices.Equal(list[0].Files[0].Signatures, ids(b.keys[0])) {
		t.Errorf("listed as %+v", list)
	}
	if got := tags(t, h, app)["1.0"]; got != "" {
		t.Fatalf("what was proposed is published: %s", got)
	}

	second := request(b.by(t, b.keys[1]))
	second.Note = "something else"
	p, err = b.post(p.ID, second)
	if err != nil {
		t.Fatal(err)
	}
	if got := signedBy(t, p); !slices.Equal(got, ids(b.keys[:2]...)) || p.Note != first.Note {
		t.Fatalf("signed by %v, note %q", got, p.Note)
	}
	if _, err := b.Client.Publish(t.Context(), app, p.Metadata()...); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, h, app)["1.0"]; got != harness.Digest("one") {
		t.Errorf("1.0 means %s", got)
	}
	if got := b.get(t, p.ID).State; got != api.ProposalPublished {
		t.Errorf("it is %s", got)
	}
	// Who comes late is told how it ended, and cannot take it back.
	if late, err := b.post(p.ID, request(b.by(t, b.keys[2]))); err != nil || late.State != api.ProposalPublished {
		t.Errorf("signing late: %v", err)
	}
	if status := b.withdraw(t, p.ID); status != http.StatusConflict {
		t.Errorf("withdrawing it: %d", status)
	}
	err = b.Client.Call(t.Context(), http.MethodDelete, api.ProposalPath(app, p.ID), nil, nil)
	if !errors.Is(err, tuf.ErrConflict) || strings.Contains(err.Error(), "first") {
		t.Errorf("nobody was faster, it is published itself: %v", err)
	}
}

// A proposal goes stale when another publish took its version, or when it has expired,
// and then takes no signature.
func TestProposalGoesStale(t *testing.T) {
	h := harness.Start(t)
	b := newBoard(t, h)
	p := b.propose(t, b.next(t, "one", b.keys[0]))
	b.Targets.Signed.Version--
	if _, err := b.Client.Publish(t.Context(), app, b.next(t, "other", b.keys[:2]...)); err != nil {
		t.Fatal(err)
	}
	if got := b.get(t, p.ID).State; got != api.ProposalStale {
		t.Errorf("it is %s", got)
	}
	if list := b.list(t); len(list) != 1 || list[0].State != api.ProposalStale {
		t.Errorf("listed as %+v", list)
	}
	for name, id := range map[string]string{"signing it": p.ID, "proposing it again": ""} {
		_, err := b.post(id, api.ProposalRequest{Files: p.Files})
		problem, ok := errors.AsType[*api.ProblemError](err)
		if !errors.Is(err, tuf.ErrConflict) || !ok || problem.Versions[tuf.RoleTargets] != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.Targets.Signed.Expires = h.Clock.Now().UTC().Truncate(time.Second).Add(48 * time.Hour)
	q := b.propose(t, b.next(t, "two"))
	if q.State != api.ProposalOpen || len(signedBy(t, q)) > 0 {
		t.Errorf("one that nobody has signed: %+v", q)
	}
	h.Clock.Advance(49 * time.Hour)
	if got := b.get(t, q.ID).State; got != api.ProposalStale {
		t.Errorf("one that has expired is %s", got)
	}
	h.Clock.Advance(api.ProposalLife)
	if list := b.list(t); len(list) > 0 {
		t.Errorf("after 30 days: %+v", list)
	}
	h.Server.Prune(t.Context())
	if kept, err := h.Store.Proposals(t.Context(), app); len(kept) > 0 || err != nil {
		t.Errorf("kept after 30 days: %v, %v", kept, err)
	}
}

func TestProposalIsWithdrawn(t *testing.T) {
	h := harness.Start(t)
	b := newBoard(t, h)
	p := b.propose(t, b.next(t, "one", b.keys[0]))
	for range 2 {
		if status := b.withdraw(t, p.ID); status != http.StatusNoContent {
			t.Fatalf("answered %d", status)
		}
	}
	if got := b.get(t, p.ID).State; got != api.ProposalWithdrawn {
		t.Errorf("it is %s", got)
	}
	if _, err := b.post(p.ID, request(b.by(t, b.keys[1]))); !errors.Is(err, tuf.ErrConflict) {
		t.Errorf("signing it: %v", err)
	}
	// Proposed again it is open again, with what was signed.
	again, err := b.post("", request(b.by(t, b.keys[1])))
	if err != nil || again.State != api.ProposalOpen || !slices.Equal(signedBy(t, again), ids(b.keys[:2]...)) {
		t.Errorf("proposed again: %+v, %v", again, err)
	}
	if status := b.withdraw(t, strings.Repeat("0", 64)); status != http.StatusNotFound {
		t.Errorf("one that is not there: %d", status)
	}
}

// Approvers who sign at once lose no signature, whichever database and server they
// reach.
func TestApproversAtOnce(t *testing.T) {
	for name, change := range map[string]func(*testing.T) func(*harness.Config){
		"SQLite": func(*testing.T) func(*harness.Config) { return func(*harness.Config) {} },
		"Postgres": func(t *testing.T) func(*harness.Config) {
			cluster, err := postgres.Start(postgres.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := cluster.Stop(); err != nil {
					t.Error(err)
				}
			})
			url, err := cluster.Create()
			if err != nil {
				t.Fatal(err)
			}
			return func(c *harness.Config) { c.Database = url }
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := harness.Start(t, change(t))
			b := newBoard(t, h)
			other := server.New(server.Config{Store: harness.NewStore(h.Store, &harness.Faults{}), Signer: h.Signer, Now: h.Clock.Now, Log: slog.New(slog.DiscardHandler)})
			listening := httptest.NewServer(other.Handler())
			defer listening.Close()
			second := &harness.Client{URL: listening.URL, HTTP: http.DefaultClient, Token: h.AdminToken}
			// In the middle of each round the last of them signs by way of another server.
			for round := range 3 {
				unsigned := b.next(t, fmt.Sprint("round ", round))
				var files []tuf.File
				for _, key := range b.keys {
					files = append(files, b.by(t, key))
				}
				p := b.propose(t, unsigned)
				var mu sync.Mutex
				raced := false
				h.StoreFaults.Before(func(ctx context.Context, call string) error {
					mu.Lock()
					defer mu.Unlock()
					if call != "PutProposal" || raced {
						return nil
					}
					raced = true
					body := request(files[len(files)-1])
					return second.Call(ctx, http.MethodPost, api.ProposalPath(app, p.ID), body, &api.Proposal{})
				})
				var wg sync.WaitGroup
				for _, file := range files[:len(files)-1] {
					wg.Go(func() {
						if _, err := b.post(p.ID, request(file)); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				h.StoreFaults.Before(nil)
				p = b.get(t, p.ID)
				if got := signedBy(t, p); !slices.Equal(got, ids(b.keys...)) {
					t.Fatalf("signed by %v, expected all of %v", got, ids(b.keys...))
				}
				if _, err := b.Client.Publish(t.Context(), app, p.Metadata()...); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// There are 32 open ones at most; what is of no use any more makes room.
func TestProposalsAreBounded(t *testing.T) {
	h := harness.Start(t)
	b := newBoard(t, h)
	var all []*api.Proposal
	for i := range api.MaxProposals {
		all = append(all, b.propose(t, b.next(t, fmt.Sprint(i))))
		b.Targets.Signed.Version--
	}
	one := b.next(t, "one more")
	if _, err := b.post("", request(one)); !errors.Is(err, tuf.RuleLimit) {
		t.Fatalf("one more: %v", err)
	}
	if status := b.withdraw(t, all[7].ID); status != http.StatusNoContent {
		t.Fatal(status)
	}
	b.propose(t, one)
	list := b.list(t)
	if len(list) != api.MaxProposals || slices.ContainsFunc(list, func(p api.ProposalSummary) bool { return p.ID == all[7].ID }) {
		t.Errorf("%d are left", len(list))
	}
}

// The open ones have the bytes of two publishes at most; what is of no use any more
// makes room, and only as much as is needed.
func TestProposalsBytesAreBounded(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) { c.Server.MaxBody = 100_000 })
	b := newBoard(t, h)
	big := func(name string, bytes int) tuf.File {
		t.Helper()
		b.Targets.Signed.UnrecognizedFields = map[string]any{"x-padding": strings.Repeat("a", bytes)}
		file := b.next(t, name)
		b.Targets.Signed.Version--
		return file
	}
	var all []*api.Proposal
	for _, name := range []string{"one", "two", "three"} {
		all = append(all, b.propose(t, big(name, 40_000)))
	}
	four := big("four", 40_000)
	if _, err := b.post("", request(four)); !errors.Is(err, tuf.RuleLimit) || !strings.Contains(err.Error(), "of which at most 200000 are kept; withdraw one") {
		t.Fatalf("one more: %v", err)
	}
	if n := len(b.list(t)); n != 3 {
		t.Errorf("%d are left, although none made room", n)
	}
	for _, p := range all[:2] {
		if status := b.withdraw(t, p.ID); status != http.StatusNoContent {
			t.Fatal(status)
		}
	}
	all = append(all, b.propose(t, four))
	left := map[string]bool{}
	for _, p := range b.list(t) {
		left[p.ID] = true
	}
	if len(left) != 3 || left[all[0].ID] == left[all[1].ID] || !left[all[2].ID] || !left[all[3].ID] {
		t.Errorf("left are %v of %s, %s, %s, %s", left, all[0].ID, all[1].ID, all[2].ID, all[3].ID)
	}
}

// What was proposed after another server published is not stale for one that did not
// know of it yet.
func TestOpenProposalsMakeNoRoom(t *testing.T) {
	h := harness.Start(t, func(c *harness.Config) { c.Server.MaxBody = 100_000 })
	b := newBoard(t, h)
	faults := &harness.Faults{}
	other := server.New(server.Config{Store: harness.NewStore(h.Store, faults), Signer: h.Signer, Now: h.Clock.Now, Log: slog.New(slog.DiscardHandler), MaxBody: 100_000})
	listening := httptest.NewServer(other.Handler())
	defer listening.Close()
	second := &harness.Client{URL: listening.URL, HTTP: http.DefaultClient, Token: h.AdminToken}
	big := func(name string, bytes int, keys ...tuf.Signer) tuf.File {
		t.Helper()
		b.Targets.Signed.UnrecognizedFields = map[string]any{"x-padding": strings.Repeat("a", bytes)}
		file := b.next(t, name, keys...)
		b.Targets.Signed.Version--
		return file
	}
	late, published := big("late", 40_000), big("published", 10, b.keys[:2]...)
	b.Targets.Signed.Version++
	var next []tuf.File
	for _, name := range []string{"one", "two", "three"} {
		next = append(next, big(name, 40_000, b.keys[0]))
	}
	var open []string
	var once sync.Once
	faults.Before(func(_ context.Context, call string) error {
		if call == "Proposal" {
			once.Do(func() {
				if _, err := b.Client.Publish(t.Context(), app, published); err != nil {
					t.Error(err)
				}
				for _, file := range next {
					open = append(open, b.propose(t, file).ID)
				}
			})
		}
		return nil
	})
	if err := second.Call(t.Context(), http.MethodPost, api.ProposalsPath(app), request(late), nil); !errors.Is(err, tuf.ErrConflict) {
		t.Errorf("the late one: %v", err)
	}
	for _, p := range b.list(t) {
		open = slices.DeleteFunc(open, func(id string) bool { return id == p.ID })
	}
	if len(open) > 0 {
		t.Errorf("%d open proposals are gone, with their signatures", len(open))
	}
}

// Bodies that no publish could come of are refused before a row is written.
func TestProposalRefuses(t *testing.T) {
	h := harness.Start(t)
	b := newBoard(t, h)
	good := b.next(t, "one", b.keys[0])
	p := b.propose(t, good)
	other := b.next(t, "other")
	b.Targets.Signed.Version -= 2
	same := b.by(t, b.keys[0])
	b.Targets.Signed.Version++
	with := func(edit func(*api.ProposalRequest)) string {
		r := request(good)
		edit(&r)
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	reader := h.Token(t, []string{api.ScopeRead}, app)
	elsewhere := h.Token(t, []string{api.ScopePublish}, "other.example/**")
	stranger := h.Token(t, []string{api.ScopePublish}, "**")
	mine := api.ProposalsPath(app)
	for _, c := range []struct {
		claim, path, token, body string
		status                   int
	}{
		{"no JSON", mine, h.AdminToken, `{`, 400},
		{"two documents", mine, h.AdminToken, `{}{}`, 400},
		{"an unknown member", mine, h.AdminToken, `{"files":[],"state":"published"}`, 400},
		{"no files", mine, h.AdminToken, `{}`, 422},
		{"null", mine, h.AdminToken, `null`, 422},
		{"a note to drive a terminal", mine, h.AdminToken, with(func(r *api.ProposalRequest) { r.Note = "\x1b[2J" }), 400},
		{"a long note", mine, h.AdminToken, with(func(r *api.ProposalRequest) { r.Note = strings.Repeat("a", api.MaxNote+1) }), 422},
		{"a long intent", mine, h.AdminToken, with(func(r *api.ProposalRequest) {
			r.Intent = json.RawMessage(`{"a":"` + strings.Repeat("a", api.MaxIntent) + `"}`)
		}), 422},
		{"an intent that is a list", mine, h.AdminToken, with(func(r *api.ProposalRequest) { r.Intent = json.RawMessage(`[]`) }), 400},
		{"too many files", mine, h.AdminToken, with(func(r *api.ProposalRequest) { r.Files = make([]api.PublishFile, api.MaxFiles+1) }), 422},
		{"a role twice", mine, h.AdminToken, with(func(r *api.ProposalRequest) { r.Files = append(r.Files, r.Files...) }), 422},
		{"a version that is there", mine, h.AdminToken, with(func(r *api.ProposalRequest) { *r = request(same) }), 409},
		{"a version too far", mine, h.AdminToken, with(func(r *api.ProposalRequest) { *r = request(other) }), 409},
		{"a version that the file does not state", mine, h.AdminToken, with(func(r *api.ProposalRequest) { r.Files[0].Version++ }), 422},
		{"another form", mine, h.AdminToken, with(func(r *api.ProposalRequest) { r.Files[0].Content = append([]byte(" "), r.Files[0].Content...) }), 422},
		{"other content under an ID", api.ProposalPath(app, p.ID), h.AdminToken, with(func(r *api.ProposalRequest) { *r = request(other) }), 422},
		{"an ID that is none", mine + "?id=..%2f", h.AdminToken, with(func(*api.ProposalRequest) {}), 400},
		{"an ID that nobody proposed", api.ProposalPath(app, strings.Repeat("0", 64)), h.AdminToken, with(func(*api.ProposalRequest) {}), 422},
		{"no token", mine, "", with(func(*api.ProposalRequest) {}), 401},
		{"a reader", mine, reader, with(func(*api.ProposalRequest) {}), 403},
		{"a publisher of others", mine, elsewhere, with(func(*api.ProposalRequest) {}), 403},
		{"a new repository by who may not create", api.ProposalsPath("registry.example/new"), stranger, with(func(*api.ProposalRequest) {}), 403},
		{"no name", "/v1/proposals/NO", h.AdminToken, with(func(*api.ProposalRequest) {}), 404},
	} {
		a, err := h.Client(c.token).Do(t.Context(), http.MethodPost, c.path, nil, []byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != c.status {
			t.Errorf("%s: %d %.300s, expected %d", c.claim, a.Status, a.Body, c.status)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		for token, status := range map[string]int{"": 401, reader: 403, elsewhere: 403} {
			a, err := h.Client(token).Do(t.Context(), method, api.ProposalPath(app, p.ID), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if a.Status != status {
				t.Errorf("%s with another token: %d, expected %d", method, a.Status, status)
			}
		}
	}
	// What may be signed with a token may be read with it, one by one and as a list.
	creator := h.Token(t, []string{api.ScopeCreate}, "**")
	for _, path := range []string{"", "?id=" + p.ID} {
		for _, c := range []struct {
			claim, repository, token string
			refused                  bool
		}{
			{"a publisher, of a repository that exists", app, stranger, false},
			{"who may create only, of a repository that exists", app, creator, true},
			{"a publisher, of a new one", "registry.example/new", stranger, true},
			{"who may create, of a new one", "registry.example/new", creator, false},
		} {
			a, err := h.Client(c.token).Do(t.Context(), http.MethodGet, api.ProposalsPath(c.repository)+path, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if (a.Status == http.StatusForbidden) != c.refused {
				t.Errorf("GET %q by %s: %d %.300s", path, c.claim, a.Status, a.Body)
			}
		}
	}
	if list := b.list(t); len(list) != 1 || list[0].State != api.ProposalOpen {
		t.Errorf("what was refused left a trace: %+v", list)
	}
}

// The creation of a repository can be proposed too.
func TestProposalOfCreation(t *testing.T) {
	h := harness.Start(t)
	b := &board{Publisher: h.Publisher(t, app), h: h}
	files := b.First(t)
	p := b.propose(t, files...)
	if p.State != api.ProposalOpen || len(b.list(t)) != 1 {
		t.Fatalf("%+v", p)
	}
	if _, err := b.Client.Publish(t.Context(), app, b.get(t, p.ID).Metadata()...); err != nil {
		t.Fatal(err)
	}
	if got := b.get(t, p.ID).State; got != api.ProposalPublished {
		t.Errorf("it is %s", got)
	}
}
