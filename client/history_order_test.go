package client

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// TestHistoryOrder has a server show thousands of files in one publish, each of which
// says by which keys the one before it is signed, and the last of them, in a circle,
// the first: they are read in that order, and the report does not take for ever.
func TestHistoryOrder(t *testing.T) {
	const n = 4000
	key := newKey(t).Key()
	var publication api.Publication
	name := func(i int) string { return fmt.Sprintf("r%04d", i) }
	for i := range n {
		md := tuf.NewTargets(1, time.Now().Add(time.Hour))
		md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{key.ID(): key.Metadata()},
			Roles: []metadata.DelegatedRole{{Name: name((i + n - 1) % n), KeyIDs: []string{key.ID()}, Threshold: 1, Paths: []string{"x"}}}}
		md.Signatures = []metadata.Signature{}
		data, err := tuf.Encode(md)
		if err != nil {
			t.Fatal(err)
		}
		publication.Files = append(publication.Files, api.HistoryFile{Role: name(i), Version: 1, Content: data})
	}
	var read []string
	h := &historian{publisher: &Publisher{}, repository: appName, anchor: &Anchor{}, keys: map[string]*tuf.Key{}, roles: map[string]*Past{}, last: map[string]int64{}, bytes: map[string][]byte{},
		visit: func(past *Past) error { read = append(read, past.Role); return nil }}
	if err := h.publication(t.Context(), publication); err != nil {
		t.Fatal(err)
	}
	if len(read) != n || !slices.IsSortedFunc(read, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("%d files, %q...", len(read), read[:5])
	}
}
