package client

import (
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// TestProposalSignedTwiceByOne has one key's signature stand twice on a proposal, and
// one key under two IDs among a signer's.
func TestProposalSignedTwiceByOne(t *testing.T) {
	o := newOffice(t)
	o.board()
	proposal := o.propose(o.person(), signIntent("2.0", "two"), o.alice)
	md, err := tuf.ReadTargets(proposal.Files[0].Content)
	o.repo.must(err)
	md.Signatures = append(md.Signatures, md.Signatures[0])
	proposal.Files[0].Content, err = tuf.Encode(md)
	o.repo.must(err)
	if r, err := o.person().Review(t.Context(), proposal); err == nil && r.Lacks() == 0 {
		t.Errorf("one key is taken for two: %+v", r.Files)
	}

	ci := newKey(t)
	proposal = o.propose(o.person(), Intent{AddSigner: &AddSignerRequest{Repository: appName, Name: "ci", Keys: tuf.RoleKeys{Keys: publicKeys(ci), Threshold: 1}, Tags: []string{"ci-*"}}}, o.alice, ci)
	is := ci.Key().Metadata()
	twin := &metadata.Key{Type: is.Type, Scheme: is.Scheme, Value: is.Value, UnrecognizedFields: map[string]any{"x-note": "another"}}
	id, err := twin.ID()
	o.repo.must(err)
	evil := o.edited(proposal, func(md *tuf.Targets) {
		md.Signed.Delegations.Keys[id] = twin
		md.Signed.Delegations.Roles[0].KeyIDs = append(md.Signed.Delegations.Roles[0].KeyIDs, id)
		md.Signed.Delegations.Roles[0].Threshold = 2
	}, o.alice, o.bob)
	for i, file := range evil.Files {
		if file.Role == "ci" {
			md, err := tuf.ReadTargets(file.Content)
			o.repo.must(err)
			md.Signatures = append(md.Signatures, metadata.Signature{KeyID: id, Signature: md.Signatures[0].Signature})
			evil.Files[i].Content, err = tuf.Encode(md)
			o.repo.must(err)
		}
	}
	if r, err := o.person().Review(t.Context(), evil); err == nil {
		t.Errorf("%s %+v", r.State, r.Files)
	}
}
