package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// history reads all pages of repository's history, of at most limit publications.
func history(t *testing.T, h *harness.Harness, repository string, content bool, limit int) (list []api.Publication, pages int) {
	t.Helper()
	for after := int64(0); ; {
		a, err := h.Client(h.AdminToken).Do(t.Context(), http.MethodGet, api.HistoryPath(repository, after, content, limit), nil, nil)
		if err != nil || a.Err() != nil {
			t.Fatal(err, a.Err())
		}
		if len(a.Body) > api.MaxAnswer {
			t.Fatalf("a page of %d bytes; clients read %d", len(a.Body), api.MaxAnswer)
		}
		var page api.HistoryResponse
		if err := json.Unmarshal(a.Body, &page); err != nil {
			t.Fatal(err)
		}
		if limit > 0 && len(page.Publications) > limit {
			t.Fatalf("%d publications, asked for %d", len(page.Publications), limit)
		}
		list, pages = append(list, page.Publications...), pages+1
		if page.Next == 0 {
			return list, pages
		}
		if page.Next <= after || len(page.Publications) == 0 {
			t.Fatalf("page after %d: next %d", after, page.Next)
		}
		after = page.Next
	}
}

// History tells every file that people signed, byte for byte, and who handed it in.
func TestHistory(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	signed := p.First(t)
	if _, err := p.Client.Publish(t.Context(), app, signed...); err != nil {
		t.Fatal(err)
	}
	secret := h.Token(t, []string{api.ScopePublish}, app)
	for i := range 5 {
		h.Clock.Advance(13 * 60 * 60 * 1e9)
		if h.Server.RefreshDue(t.Context()) != 1 {
			t.Fatal("nothing was refreshed")
		}
		p.Tag(t, "1.0", harness.Digest("%d", i))
		file := p.Next(t)
		if _, err := h.Client(secret).Publish(t.Context(), app, file); err != nil {
			t.Fatal(err)
		}
		signed = append(signed, file)
	}
	for _, limit := range []int{0, 1, 2} {
		list, pages := history(t, h, app, true, limit)
		if len(list) != 6 || (limit > 0 && pages != 6/limit) {
			t.Fatalf("limit %d: %d publications on %d pages", limit, len(list), pages)
		}
		var told []tuf.File
		for i, p := range list {
			id := strings.Split(secret, "_")[1]
			if (p.Token == id) != (i > 0) || p.Token == "" {
				t.Errorf("publication %d is told to be by %q", p.Generation, p.Token)
			}
			for _, f := range p.Files {
				file := tuf.File{Role: f.Role, Version: f.Version, Bytes: f.Content}
				if f.SHA256 != file.SHA256() || f.Length != int64(len(f.Content)) {
					t.Errorf("%s: length or hash is not the content's", file.Name())
				}
				told = append(told, file)
			}
		}
		if diff := cmp.Diff(signed, told); diff != "" {
			t.Errorf("signed -, told +:\n%s", diff)
		}
	}
	list, _ := history(t, h, app, false, 0)
	for _, p := range list {
		for _, f := range p.Files {
			if f.Content != nil || f.Length == 0 {
				t.Errorf("without content: %+v", f)
			}
		}
	}
}

// A page is never more than clients read, however large the files are; what does not
// fit into any page is named.
func TestHistoryPagesAreBounded(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	var sizes []int
	for _, size := range []int{1, 500_000, 500_000, 500_000, 1_700_000, 1} { // stands twice: the tag, and its record
		note := map[string]string{"note": strings.Repeat("x", size)}
		if err := tuf.SetTarget(p.Targets, app, "1.0", tuf.Target{Digest: harness.Digest("one"), Length: 1, Annotations: note}); err != nil {
			t.Fatal(err)
		}
		file := p.Next(t)
		sizes = append(sizes, len(file.Bytes))
		if _, err := p.Client.Publish(t.Context(), app, file); err != nil {
			t.Fatal(err)
		}
	}
	list, pages := history(t, h, app, true, 0)
	if len(list) != len(sizes)+1 || pages < 2 {
		t.Fatalf("%d publications on %d pages", len(list), pages)
	}
	for i, size := range sizes {
		f := list[i+1].Files[0]
		if fits := size*4/3 < api.MaxAnswer-512<<10; (f.Content != nil) != fits || f.Length != int64(size) {
			t.Errorf("a file of %d bytes: told %d, with content %t", size, f.Length, f.Content != nil)
		}
	}
	if slices.Max(sizes) < api.MaxAnswer*3/4 {
		t.Errorf("the largest has %d bytes, which proves nothing", slices.Max(sizes))
	}
}

// Who may not read a repository is told nothing of its history, also where reading
// the files is open to all.
func TestHistoryTakesAToken(t *testing.T) {
	h := harness.Start(t)
	h.Publisher(t, app).Init(t)
	for token, want := range map[string]int{
		"": http.StatusUnauthorized,
		h.Token(t, []string{api.ScopeRead}, "registry.example/other/*"): http.StatusForbidden,
		h.Token(t, []string{api.ScopeRead}, app):                        http.StatusOK,
	} {
		a, err := h.Client(token).Do(t.Context(), http.MethodGet, api.HistoryPath(app, 0, true, 0), nil, nil)
		if err != nil || a.Status != want {
			t.Errorf("%v %d, expected %d", err, a.Status, want)
		}
	}
}

// stored is everything that people signed, as the database has it.
func stored(t *testing.T, db *store.DB, repository string) (list []string) {
	t.Helper()
	publications, err := db.Published(t.Context(), repository, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range publications {
		for _, f := range p.Files {
			file, err := db.File(t.Context(), repository, f.Role, f.Version)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprintf("%d %s %q %s %s", p.Generation, p.Time, p.Token, file.Name(), file.SHA256()))
		}
	}
	return list
}

// No route can change or remove what history tells, whatever method, parameters and
// body it is called with, by an admin who holds all keys of the repository.
func TestNoRouteEditsHistory(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	for i := range 3 {
		p.Tag(t, "1.0", harness.Digest("%d", i))
		p.Publish(t)
	}
	before := stored(t, h.Store, app)
	if len(before) != 5 {
		t.Fatalf("%d files: %v", len(before), before)
	}

	bodies := [][]byte{nil, []byte("{}")}
	for version := range int64(4) { // properly signed files of other content for every version that is there
		p.Targets.Signed.Version = version
		p.Tag(t, "1.0", harness.Digest("another %d", version))
		p.Root.Signed.Expires = p.Root.Signed.Expires.Add(-1e9)
		for _, files := range [][]tuf.File{{p.Next(t)}, {p.SignRoot(t)}, {p.SignRoot(t), p.SignTargets(t)}} {
			request := api.NewPublishRequest(files)
			body, err := json.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			bodies = append(bodies, body)
		}
	}
	bodies = append(bodies, []byte(`{"repository":"`+app+`","publications":[],"files":[]}`), []byte(`{"rotate":["snapshot","timestamp"]}`))
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
	asked := 0
	for route := range h.Server.Routes() {
		client := h.Client(h.Token(t, []string{api.ScopeAdmin}, "**")) // each may ask so often only
		path := strings.ReplaceAll(route, "{repository}", app)
		path = strings.ReplaceAll(path, "{file}", "1.targets.json")
		for _, query := range []string{"", "?id=1&after=0&limit=1&content=true", "?generation=2&version=1&role=targets"} {
			for _, method := range methods {
				for _, body := range bodies {
					header := http.Header{"Content-Type": {api.TypeJSON}}
					a, err := client.Do(t.Context(), method, path+query, header, body)
					if err != nil {
						t.Fatalf("%s %s: %v", method, path, err)
					}
					if a.Status == http.StatusTooManyRequests {
						t.Fatal("the test asks too often, and proves nothing")
					}
					asked++
				}
			}
		}
		after := stored(t, h.Store, app)
		if len(after) < len(before) || !slices.Equal(after[:len(before)], before) {
			t.Errorf("%s changed history:\n%s", route, cmp.Diff(before, after))
		}
	}
	if asked < 500 {
		t.Errorf("only %d requests", asked)
	}
	if list, _ := history(t, h, app, true, 0); len(list) < 4 || !bytes.Contains(list[3].Files[0].Content, []byte(strings.TrimPrefix(harness.Digest("2"), "sha256:"))) {
		t.Error("history lacks what was published")
	}
}

// History outlives the server: another one over the same database tells the same.
func TestHistorySurvives(t *testing.T) {
	dir := t.TempDir()
	same := func(c *harness.Config) {
		c.Database = "sqlite:" + filepath.Join(dir, "signet.db")
		c.Signer.Dir = filepath.Join(dir, "signer")
	}
	h := harness.Start(t, same)
	p := h.Publisher(t, app)
	p.Init(t)
	p.Tag(t, "1.0", harness.Digest("one"))
	p.Publish(t)
	before, _ := history(t, h, app, true, 0)
	after, _ := history(t, harness.Start(t, same), app, true, 0)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}
