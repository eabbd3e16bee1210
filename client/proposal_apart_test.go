package client

import (
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// TestApproveOffline compares with what a machine remembers, however old, and says so.
func TestApproveOffline(t *testing.T) {
	o := newOffice(t)
	o.board()
	cave := o.person()
	if _, err := cave.Roles(t.Context(), appName); err != nil { // once, online
		t.Fatal(err)
	}
	seen := o.clock.Now()
	proposal := o.propose(o.person(), signIntent("2.0", "two"), o.alice)
	o.clock.Add(30 * day)
	cave.Offline = true
	o.server.taken()
	r, err := cave.Review(t.Context(), proposal)
	if err != nil || !r.Compared.Offline || !r.Compared.Fresh.Before(o.clock.Now()) || r.Intent != IntentAgrees {
		t.Fatalf("%+v, %v", r, err)
	}
	if !r.Compared.Seen.Equal(seen) || r.Compared.Versions["targets"] != 3 {
		t.Errorf("%+v", r.Compared)
	}
	o.repo.must(errors.Join(r.Choose([]tuf.Signer{o.bob}), r.Approve(t.Context())))
	if asked := o.server.taken(); len(asked) > 0 {
		t.Errorf("a server was asked: %q", asked)
	}
	if r.State != StateComplete {
		t.Errorf("%s", r.State)
	}
	// Back where the network is.
	data, err := json.Marshal(r.Proposal)
	o.repo.must(err)
	back, err := ReadProposal(data)
	o.repo.must(err)
	o.repo.release()
	if r, err = o.person().Review(t.Context(), back); err != nil || r.State != StateComplete {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := r.Publish(t.Context()); err != nil {
		t.Error(err)
	}
	o.trusts("2.0", "two")
	// What is built on something that this machine has not seen is not signed.
	next := o.propose(o.person(), signIntent("3.0", "three"), o.alice)
	if _, err := cave.Review(t.Context(), next); tuf.RuleOf(err) != tuf.RuleVersion {
		t.Errorf("built on what is not known: %v", err)
	}
	// New online keys cannot be looked at here, which is said.
	o.repo.timestampKeys = []tuf.Signer{newKey(t)}
	root := o.propose(o.person(), Intent{Renew: &RenewRequest{Repository: appName, Roles: []string{tuf.RoleRoot}}}, o.alice)
	if r, err := cave.Review(t.Context(), root); err != nil || !slices.ContainsFunc(r.Change.Warnings, func(w string) bool { return strings.Contains(w, "nothing here vouches") }) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestApproveFrom compares with a folder that was carried to a machine without a
// network: it is verified as a server's answers are, and never steps back.
func TestApproveFrom(t *testing.T) {
	o := newOffice(t)
	o.board()
	old, dir := t.TempDir(), t.TempDir()
	export := func(to string) {
		_, err := o.client().Export(t.Context(), appName, to, Options{})
		o.repo.must(err)
	}
	export(old)
	o.repo.sign("1.5", digestOf("more"))
	export(dir)
	proposal := o.propose(o.person(), signIntent("2.0", "two"), o.alice)
	o.clock.Add(20 * day) // timestamp and snapshot have expired on the way
	o.server.taken()
	cave := o.person()
	cave.From = dir
	r, err := cave.Review(t.Context(), proposal)
	if err != nil || !r.Compared.Offline || r.Compared.From != dir || !r.Compared.Fresh.Before(o.clock.Now()) || r.Intent != IntentAgrees || r.Compared.Versions["targets"] != 4 {
		t.Fatalf("%+v, %v", r, err)
	}
	o.repo.must(errors.Join(r.Choose([]tuf.Signer{o.bob}), r.Approve(t.Context())))
	if r.State != StateComplete {
		t.Error(r.State)
	}
	if asked := o.server.taken(); len(asked) > 0 {
		t.Errorf("a server was asked: %q", asked)
	}
	cave.From = old
	if _, err := cave.Review(t.Context(), proposal); tuf.RuleOf(err) != tuf.RuleRollback {
		t.Errorf("an older folder: %v", err)
	}
	cave.From = filepath.Join(dir, "nothing")
	if _, err := cave.Review(t.Context(), proposal); err == nil || tuf.IsRefusal(err) {
		t.Errorf("no folder: %v", err)
	}
}

// A name that was retired is started again by people apart, above its last versions.
func TestProposeRestart(t *testing.T) {
	o := newOffice(t)
	k := o.board()
	empty := newRepo(t, "registry.example.com/other/again", o.clock)
	o.server.repos[empty.name] = empty
	o.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == api.RepositoryPath(empty.name) {
			retired := o.clock.Now()
			json.NewEncoder(w).Encode(api.RepositoryResponse{Repository: empty.name, Retired: &retired, Floors: map[string]int64{tuf.RoleRoot: 4, tuf.RoleTargets: 9}})
			return true
		}
		name, ok := strings.CutPrefix(r.URL.Path, "/v1/proposals/")
		if ok {
			k.serve(w, r, name)
		}
		return ok
	})
	p := o.person()
	p.Client.config.Anchors = nil
	keys := tuf.RoleKeys{Keys: publicKeys(o.alice, o.bob), Threshold: 2}
	proposal := o.propose(p, Intent{Init: &InitRequest{Repository: empty.name, Root: keys, Targets: keys}}, o.alice)
	q := o.person()
	q.Client.config.Anchors = nil
	r, err := q.Review(t.Context(), proposal)
	if err != nil || !r.Compared.New || r.Intent != IntentAgrees || r.step.created.MinRoot != 5 || r.Change.Files[0].Version != 5 || r.Change.Files[1].Version != 10 {
		t.Fatalf("%+v, %v", r, err)
	}
	o.repo.must(errors.Join(r.Choose([]tuf.Signer{o.bob}), r.Approve(t.Context())))
	if r.State != StateComplete {
		t.Error(r.State)
	}
	// A first root, where the server says that there were others, is not one.
	_, err = q.Review(t.Context(), o.editedRoot(proposal, 7))
	if !tuf.IsRefusal(err) {
		t.Errorf("a root from nowhere: %v", err)
	}
}

// editedRoot is a proposal with a root of another version.
func (o *office) editedRoot(p *api.Proposal, version int64) *api.Proposal {
	o.t.Helper()
	q := *p
	q.Files = slices.Clone(p.Files)
	root, err := tuf.ReadRoot(q.Files[0].Content)
	o.repo.must(err)
	root.Signed.Version = version
	q.Files[0].Content, err = tuf.Encode(root)
	o.repo.must(err)
	q.Files[0].Version = version
	q.ID, err = tuf.ProposalID(q.Repository, q.Metadata())
	o.repo.must(err)
	return &q
}
