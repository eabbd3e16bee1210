package server

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signet-trust/signet/server/api"
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
