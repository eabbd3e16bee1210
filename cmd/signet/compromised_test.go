package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func aReport(change func(*compromisedResult)) *compromisedResult {
	c := &client.Compromise{Repository: "registry.example.com/team/app", KeyID: strings.Repeat("ab", 32)}
	r := &compromisedResult{KeyID: c.KeyID, Time: time.Unix(1, 0), Searched: 1, Repositories: []*client.Compromise{c}}
	change(r)
	return r
}

func pageAndText(t *testing.T, r *compromisedResult) (page, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := writeCompromisedPage(path, r); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	(&app{}).printCompromised(cleanWriter{&b}, r, false)
	return string(data), b.String()
}

// TestReportInPieces holds the report's JSON, which is written piece by piece, to what
// it is in one.
func TestReportInPieces(t *testing.T) {
	for name, change := range map[string]func(*compromisedResult){
		"one repository": func(*compromisedResult) {},
		"none":           func(r *compromisedResult) { r.Repositories = []*client.Compromise{} },
		"several, and names that look like the list": func(r *compromisedResult) {
			r.Name = `"repositories":[]`
			r.Repositories = append(r.Repositories, &client.Compromise{Repository: `<&>"repositories":[]`}, r.Repositories[0])
			r.Plan = []planned{{Repository: "registry.example.com/team/app", Command: `signet rotate "repositories":[]`}}
		},
	} {
		r := aReport(change)
		var whole, pieces bytes.Buffer
		if err := errors.Join(encodeJSON(&whole, r), (&app{output: outputJSON, stdout: &pieces}).print(r, nil)); err != nil {
			t.Fatal(err)
		}
		if whole.String() != pieces.String() {
			t.Errorf("%s: in pieces it is\n%s\nand in one\n%s", name, pieces.String(), whole.String())
		}
	}
}

// TestReportSaysNoMoreThanIsKnown has a past that was not all told: nobody can say then
// that nothing is left to do.
func TestReportSaysNoMoreThanIsKnown(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*compromisedResult)
		all    bool
	}{
		"all is told": {func(*compromisedResult) {}, true},
		"a gap": {func(r *compromisedResult) {
			r.Repositories[0].Gaps = []client.Gap{{Role: "targets", From: 4, To: 4, Why: "the server does not show it"}}
		}, false},
		"a repository that could not be read": {func(r *compromisedResult) {
			r.Failed = []*outcome{{Repository: "registry.example.com/team/db", problem: &problem{Error: "no answer"}}}
		}, false},
	} {
		page, text := pageAndText(t, aReport(test.change))
		for where, said := range map[string]string{"page": page, "text": text} {
			if strings.Contains(strings.ToLower(said), "nothing is left to do") != test.all {
				t.Errorf("%s, %s: %s", name, where, said)
			}
		}
	}
}

// TestReportOfStrangers has strangers' names in every place where one can stand.
func TestReportOfStrangers(t *testing.T) {
	const evil = "\"'><script>alert(1)</script>\x1b[2J\u202e"
	page, text := pageAndText(t, aReport(func(r *compromisedResult) {
		r.Name = evil
		c := r.Repositories[0]
		c.Roles = []client.CompromisedRole{{Role: evil, Delegator: evil, Threshold: 1, Keys: 1, Alone: true, Paths: []string{evil}}}
		ended := time.Unix(2, 0)
		c.Trusted = []client.TrustedTime{{Role: evil, Ended: &ended}}
		c.Signed = []client.SignedTarget{{Tag: evil, Digest: evil, Role: evil, Token: evil}}
		c.Metadata = []client.SignedVersion{{Role: evil, Token: evil, Signers: []string{c.KeyID}}}
		c.Changed = []client.ChangedTarget{{Tag: evil, Before: evil, After: evil, Role: evil, Token: evil}}
		c.Brought = []client.BroughtKey{{Role: evil, Delegator: evil, KeyID: evil, Token: evil}}
		c.Signers = []client.ChangedSigner{{Role: evil, Delegator: evil, Token: evil, Was: client.SignerTerms{Keys: []string{evil}, Paths: []string{evil}}},
			{Role: evil, Token: evil, Gone: []string{evil}, Was: client.SignerTerms{Keys: []string{evil}, Paths: []string{evil}}, Is: &client.SignerTerms{Paths: []string{"x"}}}}
		c.Withdrawn = []client.WithdrawnTag{{Tag: evil, Role: evil, Good: tuf.Target{Digest: evil}, Token: evil}}
		c.Doubtful = []client.DoubtfulTag{{Tag: evil, Digest: evil, Role: evil, Records: []string{evil}}}
		c.Gaps = []client.Gap{{Role: evil, Why: evil}, {Why: evil}}
		r.Failed = []*outcome{{Repository: evil, problem: &problem{Error: evil}}}
		r.Plan = []planned{{evil, evil, evil}}
	}))
	if strings.Contains(page, "<script") || strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("%s\n%q", page, text)
	}
}
