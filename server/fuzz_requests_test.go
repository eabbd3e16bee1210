package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// FuzzReadBody checks that a body that is read as a publish is the whole of one JSON
// document, and that what it is read as comes back from its own form.
func FuzzReadBody(f *testing.F) {
	f.Add([]byte(`{"files":[{"role":"targets","version":2,"content":"e30="}]}`))
	f.Add([]byte(`{"files":null}{}`))
	f.Add([]byte(`{"Files":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/v1/publish/r.io/a", bytes.NewReader(body))
		r.Header.Set("Content-Type", api.TypeJSON)
		var request api.PublishRequest
		if readBody(r, &request) != nil {
			return
		}
		for i, file := range request.Metadata() {
			again := api.NewPublishRequest(request.Metadata()).Metadata()[i]
			if again.Role != file.Role || again.Version != file.Version || !bytes.Equal(again.Bytes, file.Bytes) {
				t.Fatalf("%q reads as %+v, which is written as %+v", body, file, again)
			}
		}
	})
}

// FuzzProposal checks that what a proposal is kept as tells of just the files that were
// sent: the same ID, versions and signatures, whatever the body.
func FuzzProposal(f *testing.F) {
	targets, err := tuf.Encode(tuf.NewTargets(2, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)))
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(api.ProposalRequest{Files: []api.PublishFile{{Role: "targets", Version: 2, Content: targets}}, Intent: json.RawMessage(`{"a":[]}`), Note: "1.0"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"files":[{"role":"root","version":1,"content":"e30="}],"intent":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := httptest.NewRequest("POST", "/v1/proposals/r.io/a", bytes.NewReader(data))
		r.Header.Set("Content-Type", api.TypeJSON)
		var body api.ProposalRequest
		if readBody(r, &body) != nil || checkRequest("r.io/a", &body) != nil {
			return
		}
		id, err := tuf.ProposalID("r.io/a", body.Metadata())
		if err != nil {
			if !tuf.IsRefusal(err) {
				t.Fatalf("not refused, but %v", err)
			}
			return
		}
		var p Proposal
		if err := fill(&p, body.Metadata(), body.Intent); err != nil {
			t.Fatalf("it has the ID %s, but cannot be kept: %v", id, err)
		}
		var kept api.ProposalRequest
		var lines []outlined
		if err := errors.Join(json.Unmarshal(p.Body, &kept), json.Unmarshal(p.Outline, &lines)); err != nil {
			t.Fatal(err)
		}
		if again, err := tuf.ProposalID("r.io/a", kept.Metadata()); err != nil || again != id || len(lines) != len(body.Files) {
			t.Fatalf("it comes back as %s with %d files, %v", again, len(lines), err)
		}
		for i, file := range body.Files {
			if lines[i].Role != file.Role || lines[i].Version != file.Version || !bytes.Equal(kept.Files[i].Content, file.Content) {
				t.Fatalf("%+v is told as %+v", file, lines[i])
			}
		}
	})
}

// FuzzNoneMatch checks that "you have it already" is said only to who names it: else a
// client would keep what it has although there is newer.
func FuzzNoneMatch(f *testing.F) {
	const etag = `"0123456789abcdef"`
	f.Add(etag, "")
	f.Add(`W/`+etag+`, "x"`, "*")
	f.Add(`"0123", "456789abcdef"`, `"`)
	f.Fuzz(func(t *testing.T, first, second string) {
		named := strings.Contains(first, etag) || strings.Contains(second, etag) || strings.Contains(first+second, "*")
		if noneMatch([]string{first, second}, etag) && !named {
			t.Fatalf("%q and %q name %s", first, second, etag)
		}
	})
}

// FuzzTokenID checks that what has a token's form has one form only, and that its ID
// holds nothing of its secret.
func FuzzTokenID(f *testing.F) {
	secret := "signet_" + strings.Repeat("a", 16) + "_" + strings.Repeat("b", 52)
	f.Add(secret)
	f.Add(secret + "\n")
	f.Add(strings.ToUpper(secret))
	f.Fuzz(func(t *testing.T, in string) {
		id, ok := TokenID(in)
		if !ok {
			return
		}
		if len(in) != len(secret) || in[:24] != "signet_"+id+"_" || len(id) != 16 {
			t.Fatalf("%q is a token with the ID %q", in, id)
		}
	})
}
