package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A board is where the bench's server keeps proposals. It believes all that it is
// told, and does what a test says before it answers: it is as hostile as that.
type board struct {
	mu   sync.Mutex
	list map[string]*api.Proposal
	lie  func(p *api.Proposal) // changes an answer
}

func (o *office) board() *board {
	k := &board{list: map[string]*api.Proposal{}}
	o.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		name, ok := strings.CutPrefix(r.URL.Path, "/v1/proposals/")
		if ok {
			k.serve(w, r, name)
		}
		return ok
	})
	return k
}

func (k *board) serve(w http.ResponseWriter, r *http.Request, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := r.URL.Query().Get("id")
	switch r.Method {
	case http.MethodPost:
		var request api.ProposalRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			problem(w, api.ErrBadRequest)
			return
		}
		p := &api.Proposal{Repository: name, State: StateOpen, Note: request.Note, Intent: request.Intent, Files: request.Files}
		p.ID, _ = tuf.ProposalID(name, p.Metadata())
		if id = p.ID; k.list[id] != nil {
			merged, err := MergeProposals(k.list[id], p)
			if err != nil {
				problem(w, err)
				return
			}
			p = merged
		}
		k.list[id] = p
	case http.MethodDelete:
		delete(k.list, id)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if id == "" {
		var all api.ProposalsResponse
		for _, p := range k.list {
			line := api.ProposalSummary{ID: p.ID, State: p.State}
			for _, file := range p.Files {
				line.Files = append(line.Files, api.ProposedFile{Role: file.Role, Version: file.Version})
			}
			all.Proposals = append(all.Proposals, line)
		}
		json.NewEncoder(w).Encode(all)
		return
	}
	p := k.list[id]
	if p == nil {
		problem(w, tuf.ErrNotFound)
		return
	}
	answer := *p
	answer.Files = slices.Clone(p.Files)
	if k.lie != nil {
		k.lie(&answer)
	}
	json.NewEncoder(w).Encode(answer)
}

// person is a publisher on a machine of its own.
func (o *office) person() *Publisher {
	p, _ := o.publisher()
	config := p.Client.config
	config.StateDir = o.t.(*testing.T).TempDir()
	p.Client, p.Confirm, p.Partial = New(config), nil, true
	return p
}

// propose prepares an intent with some keys, and puts it on the server.
func (o *office) propose(p *Publisher, i Intent, signers ...tuf.Signer) *api.Proposal {
	o.t.Helper()
	d, err := p.prepareIntent(o.t.Context(), &i, signers)
	o.repo.must(err)
	proposal, err := d.Propose(o.t.Context(), "as we agreed")
	o.repo.must(err)
	sent, err := p.SendProposal(o.t.Context(), proposal)
	o.repo.must(err)
	return sent
}

// approve has a person fetch, review and sign a proposal.
func (o *office) approve(p *Publisher, id string, signers ...tuf.Signer) (*Review, error) {
	o.t.Helper()
	proposal, err := p.Proposal(o.t.Context(), appName, id)
	if err != nil {
		return nil, err
	}
	r, err := p.Review(o.t.Context(), proposal)
	if err != nil || r.State != StateOpen {
		return r, err
	}
	if err := r.Choose(signers); err != nil {
		return r, err
	}
	if err := r.Approve(o.t.Context()); err != nil {
		return r, err
	}
	_, err = p.SendProposal(o.t.Context(), r.Proposal)
	return r, err
}

func signIntent(tag, word string) Intent {
	return Intent{Sign: &SignRequest{Repository: appName, Role: tuf.RoleTargets, Tags: []TagTarget{{tag, target(digestOf(word))}}}}
}

// TestProposal takes changes of every kind through two people who are not in one
// room. The last signature publishes.
func TestProposal(t *testing.T) {
	o := newOffice(t)
	o.board()
	ci := newKey(t)
	for _, c := range []struct {
		claim  string
		intent Intent
		first  []tuf.Signer
		second []tuf.Signer
	}{
		{"sign", signIntent("2.0", "two"), []tuf.Signer{o.alice}, []tuf.Signer{o.bob}},
		{"sign, proposed without any key", signIntent("2.1", "two"), nil, []tuf.Signer{o.carol, o.bob, o.alice}},
		{"revoke", Intent{Revoke: &RevokeRequest{Repository: appName, Tag: "2.1"}}, []tuf.Signer{o.alice}, []tuf.Signer{o.carol}},
		{"renew", Intent{Renew: &RenewRequest{Repository: appName, Roles: []string{tuf.RoleRoot, tuf.RoleTargets}}}, []tuf.Signer{o.alice}, []tuf.Signer{o.bob}},
		{"add a signer, whose key is elsewhere", Intent{AddSigner: &AddSignerRequest{Repository: appName, Name: "ci", Keys: tuf.RoleKeys{Keys: publicKeys(ci), Threshold: 1}, Tags: []string{"ci-*"}}},
			[]tuf.Signer{o.alice, o.bob}, []tuf.Signer{ci}},
		{"change root's keys", Intent{ChangeKeys: &ChangeKeysRequest{Repository: appName, Role: tuf.RoleRoot, Add: publicKeys(o.dave), Remove: ids(o.alice)}},
			[]tuf.Signer{o.bob, o.alice}, []tuf.Signer{o.dave}},
		{"remove a signer", Intent{RemoveSigner: &RemoveSignerRequest{Repository: appName, Name: "ci"}}, []tuf.Signer{o.alice}, []tuf.Signer{o.bob}},
	} {
		t.Run(c.claim, func(t *testing.T) {
			o.clock.Add(time.Second)
			proposal := o.propose(o.person(), c.intent, c.first...)
			if proposal.Note != "as we agreed" {
				t.Errorf("%+v", proposal)
			}
			r, err := o.approve(o.person(), proposal.ID, c.second...)
			if err != nil {
				t.Fatal(err)
			}
			if r.State != StateComplete || r.Intent != IntentAgrees || r.IntentSays != c.intent.Kind() {
				t.Errorf("state %s, intent %q %s, lacking %v, warnings %q", r.State, r.IntentSays, r.Intent, r.Missing(), r.Change.Warnings)
			}
			out, err := r.Publish(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range r.Change.Files {
				if out.Versions[file.Role] != file.Version {
					t.Errorf("%s: version %d is there, %d was published", file.Role, out.Versions[file.Role], file.Version)
				}
			}
			if r, err := o.approve(o.person(), proposal.ID, o.carol); err != nil || r.State != StatePublished {
				t.Errorf("once more: %+v, %v", r, err)
			}
			o.trusts("1.0", "one")
		})
	}
	o.trusts("2.0", "two")
	o.refuses("2.1", tuf.RuleAbsent)
}

// A first root is signed by people apart, too.
func TestProposeInit(t *testing.T) {
	o := newOffice(t)
	k := o.board()
	empty := newRepo(t, "registry.example.com/other/new", o.clock)
	o.server.repos[empty.name] = empty
	person := func() *Publisher {
		p := o.person()
		p.Client.config.Anchors = nil
		return p
	}
	keys := tuf.RoleKeys{Keys: publicKeys(o.alice, o.bob, o.carol), Threshold: 2}
	init := Intent{Init: &InitRequest{Repository: empty.name, Root: keys, Targets: keys}}
	proposal := o.propose(person(), init, o.alice)
	approve := func(p *Publisher, with ...tuf.Signer) (*Review, error) {
		got, err := p.Proposal(t.Context(), empty.name, proposal.ID)
		if err != nil {
			return nil, err
		}
		r, err := p.Review(t.Context(), got)
		if err != nil || r.State == StateStale || r.State == StatePublished {
			return r, err
		}
		return r, errors.Join(r.Choose(with), r.Approve(t.Context()))
	}
	r, err := approve(person(), o.bob)
	if err != nil || !r.Compared.New || !r.Change.New || r.Intent != IntentAgrees || r.State != StateComplete {
		t.Fatalf("%+v, %v", r, err)
	}
	out, err := r.Publish(t.Context())
	if err != nil || out.Anchor == nil || out.Anchor.Threshold != 2 || len(out.Anchor.RootKeys) != 3 {
		t.Fatalf("%+v, %v", out, err)
	}
	if r, err := approve(person(), o.carol); err != nil || r.State != StatePublished {
		t.Errorf("once more: %+v, %v", r, err)
	}
	// Online keys that the signer does not vouch for, which only the server, or who
	// proposes, could have put there.
	theirs := o.propose(person(), Intent{Init: &InitRequest{Repository: empty.name + "2", Root: keys, Targets: keys}}, func() []tuf.Signer {
		o.server.repos[empty.name+"2"] = newRepo(t, empty.name+"2", o.clock)
		return nil
	}()...)
	root, err := tuf.ReadRoot(theirs.Files[0].Content)
	empty.must(err)
	empty.must(tuf.SetRoleKeys(root, tuf.RoleTimestamp, tuf.RoleKeys{Keys: publicKeys(newKey(t)), Threshold: 1}))
	theirs.Files[0].Content, err = tuf.Encode(root)
	empty.must(err)
	theirs.ID, err = tuf.ProposalID(theirs.Repository, theirs.Metadata())
	empty.must(err)
	if _, err := person().Review(t.Context(), theirs); tuf.RuleOf(err) != tuf.RuleOnlineKey {
		t.Errorf("a stranger's online key: %v", err)
	}
	_ = k
}

// edited is a proposal with other bytes, and the ID of these.
func (o *office) edited(p *api.Proposal, edit func(*tuf.Targets), signers ...tuf.Signer) *api.Proposal {
	o.t.Helper()
	q := *p
	q.Files = slices.Clone(p.Files)
	for i, file := range q.Files {
		if file.Role != tuf.RoleTargets {
			continue
		}
		md, err := tuf.ReadTargets(file.Content)
		o.repo.must(err)
		md.Signatures = []metadata.Signature{}
		edit(md)
		o.repo.must(tuf.Sign(o.t.Context(), md, signers...))
		q.Files[i].Content, err = tuf.Encode(md)
		o.repo.must(err)
		q.Files[i].Version = md.Signed.Version
	}
	id, err := tuf.ProposalID(q.Repository, q.Metadata())
	o.repo.must(err)
	q.ID = id
	return &q
}

// TestLyingProposals has a server, or who proposes, say other than the bytes do.
func TestLyingProposals(t *testing.T) {
	o := newOffice(t)
	k := o.board()
	honest := o.propose(o.person(), signIntent("2.0", "two"), o.alice)
	evil := o.edited(honest, func(md *tuf.Targets) { o.repo.must(tuf.SetTarget(md, appName, "1.0", target(digestOf("evil")))) })

	t.Run("other bytes under an ID", func(t *testing.T) {
		k.lie = func(p *api.Proposal) { p.Files = evil.Files }
		defer func() { k.lie = nil }()
		if _, err := o.approve(o.person(), honest.ID, o.bob); tuf.RuleOf(err) != tuf.RuleHash {
			t.Errorf("%v", err)
		}
		k.lie = func(p *api.Proposal) { p.Files, p.ID = evil.Files, evil.ID }
		if _, err := o.approve(o.person(), honest.ID, o.bob); tuf.RuleOf(err) != tuf.RuleHash {
			t.Errorf("with their own ID: %v", err)
		}
		k.lie = func(p *api.Proposal) { p.Repository += "2" }
		if _, err := o.approve(o.person(), honest.ID, o.bob); tuf.RuleOf(err) != tuf.RuleRepository {
			t.Errorf("of another repository: %v", err)
		}
		data, err := json.Marshal(evil)
		o.repo.must(err)
		if _, err := ReadProposal(bytes.Replace(data, []byte(evil.ID), []byte(honest.ID), 1)); tuf.RuleOf(err) != tuf.RuleHash {
			t.Errorf("in a file: %v", err)
		}
	})
	t.Run("an intent and a note that say other than the bytes", func(t *testing.T) {
		evil.Note = "release 2.0, nothing else"
		p := o.person()
		r, err := p.Review(t.Context(), evil)
		if err != nil || r.Intent != IntentDiffers || r.IntentSays != "sign" || !slices.ContainsFunc(r.Change.Warnings, func(w string) bool { return strings.Contains(w, "not what its bytes say") }) {
			t.Fatalf("%+v, %v", r, err)
		}
		if moved := r.Change.Files[0].Targets[0]; moved.Path != appName+":1.0" || moved.New.Digest != digestOf("evil") || moved.Old.Digest != digestOf("one") {
			t.Errorf("what is shown is not what the bytes say: %+v", moved)
		}
		for _, intent := range []string{"", "null", "{", `{"sign":{}}`, `{"drop":{}}`, `{"sign":{"repository":"` + appName + `x"}}`, `{"sign":{"repository":"` + appName + `"},"renew":{"repository":"` + appName + `"}}`} {
			evil.Intent = json.RawMessage(intent)
			if r, err := p.Review(t.Context(), evil); err != nil || r.Intent != IntentUnknown {
				t.Errorf("intent %q: %+v, %v", intent, r, err)
			}
			if _, err := p.Rebase(t.Context(), evil, nil); !errors.Is(err, ErrIntent) {
				t.Errorf("intent %q is rebased: %v", intent, err)
			}
		}
	})
	t.Run("what nobody is shown", func(t *testing.T) {
		custom := json.RawMessage(`{"mediaType":"a/b","more":1}`)
		for claim, edit := range map[string]func(*tuf.Targets){
			"in custom": func(md *tuf.Targets) { md.Signed.Targets[appName+":2.0"].Custom = &custom },
			"in a target": func(md *tuf.Targets) {
				md.Signed.Targets[appName+":2.0"].UnrecognizedFields = map[string]any{"more": "x"}
			},
			"an old record": func(md *tuf.Targets) {
				md.Signed.Targets[appName+":1.0"].UnrecognizedFields = map[string]any{"more": "x"}
			},
			"another's path": func(md *tuf.Targets) { o.repo.must(tuf.SetTarget(md, appName+"2", "1", target(digestOf("x")))) },
			"a wrong hash": func(md *tuf.Targets) {
				md.Signed.Targets[appName+":9"] = &metadata.TargetFiles{Length: 1, Hashes: metadata.Hashes{"sha512": make([]byte, 64)}}
			},
		} {
			if r, err := o.person().Review(t.Context(), o.edited(honest, edit)); !tuf.IsRefusal(err) {
				t.Errorf("%s: %+v, %v", claim, r, err)
			}
		}
		strange := o.edited(honest, func(md *tuf.Targets) { md.Signed.UnrecognizedFields = map[string]any{"x-more": true} })
		if r, err := o.person().Review(t.Context(), strange); err == nil && !slices.Contains(r.Change.Files[0].Members, "x-more") {
			t.Errorf("an unknown member is not told: %+v", r.Change.Files[0])
		}
	})
	t.Run("signatures that are none", func(t *testing.T) {
		forged := *honest
		md, err := tuf.ReadTargets(honest.Files[0].Content)
		o.repo.must(err)
		md.Signatures = []metadata.Signature{{KeyID: o.alice.Key().ID(), Signature: []byte("forged")}, {KeyID: o.bob.Key().ID(), Signature: md.Signatures[0].Signature}}
		o.repo.must(tuf.Sign(t.Context(), md, o.dave))
		data, err := tuf.Encode(md)
		o.repo.must(err)
		forged.Files = []api.PublishFile{{Role: tuf.RoleTargets, Version: md.Signed.Version, Content: data}}
		r, err := o.person().Review(t.Context(), &forged)
		if err != nil || r.State != StateOpen || r.Lacks() != 2 || len(signaturesOf(r.Proposal)) != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("a signature that the server throws away", func(t *testing.T) {
		k.lie = func(p *api.Proposal) {
			p.Files[0].Content = o.edited(p, func(*tuf.Targets) {}).Files[0].Content
		}
		bob := o.person()
		_, err := o.approve(bob, honest.ID, o.bob)
		if e, ok := errors.AsType[*ServerError](err); !ok || e.Trouble != TroubleAnswer || !strings.Contains(e.Detail, o.bob.Key().ID()[:12]) {
			t.Errorf("%v", err)
		}
		k.lie = nil
		// Whoever signed signs the same once more, without a word from the journal.
		if r, err := o.approve(bob, honest.ID, o.bob); err != nil || r.State != StateComplete {
			t.Errorf("again: %+v, %v", r, err)
		}
	})
}

// TestWithdrawn has a server keep a proposal that was withdrawn, to complete it when
// the same version was signed with other content. alice's journal is in the way.
func TestWithdrawn(t *testing.T) {
	o := newOffice(t)
	k := o.board()
	alice := o.person()
	old := o.propose(alice, signIntent("2.0", "bad"), o.alice)
	kept := maps.Clone(k.list)
	o.repo.must(alice.Withdraw(t.Context(), appName, old.ID))
	if _, err := alice.Proposal(t.Context(), appName, old.ID); !errors.Is(err, tuf.ErrNotFound) {
		t.Errorf("withdrawn: %v", err)
	}
	list, err := alice.Proposals(t.Context(), appName)
	if err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	bob := o.person()
	better := o.propose(bob, signIntent("2.0", "good"), o.bob)
	_, err = o.approve(alice, better.ID, o.alice)
	e, ok := errors.AsType[*SignedError](err)
	if !ok || e.Before.Act != ActPropose || e.Version != better.Files[0].Version {
		t.Fatalf("a second content for one version: %v", err)
	}
	// Ordinary signing is held by the same journal.
	plain := alice
	plain.Partial = false
	if _, err := plain.Sign(t.Context(), SignRequest{Repository: appName, Tags: []TagTarget{{"2.0", target(digestOf("good"))}}, Signers: []tuf.Signer{o.alice, o.bob}}); !errors.Is(err, ErrSigned) {
		t.Errorf("ordinary signing: %v", err)
	}
	// In words she may, and is told what that means.
	alice.SignAgain = true
	r, err := o.approve(alice, better.ID, o.alice)
	if err != nil || !slices.ContainsFunc(r.Change.Warnings, func(w string) bool { return strings.Contains(w, "can still complete it") }) {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := r.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What the server kept can be completed no more: the version is taken.
	k.list = kept
	if r, err := o.approve(o.person(), old.ID, o.carol); err != nil || r.State != StateStale {
		t.Errorf("the old one: %+v, %v", r, err)
	}
	o.trusts("2.0", "good")
}

// TestRebase has the base move under a proposal.
func TestRebase(t *testing.T) {
	o := newOffice(t)
	o.board()
	alice, bob := o.person(), o.person()
	first := o.propose(alice, signIntent("2.0", "two"), o.alice)
	o.clock.Add(time.Second)
	second := o.propose(bob, signIntent("3.0", "three"), o.bob)
	r, err := o.approve(o.person(), second.ID, o.carol)
	o.repo.must(err)
	if _, err := r.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err = o.approve(bob, first.ID, o.bob); err != nil || r.State != StateStale || r.Change != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := r.Publish(t.Context()); err == nil {
		t.Error("a stale proposal was published")
	}
	d, err := alice.Rebase(t.Context(), first, []tuf.Signer{o.alice})
	o.repo.must(err)
	if d.Change.Files[0].Version != first.Files[0].Version+1 || len(d.Change.Files[0].Targets) != 2 {
		t.Errorf("%+v", d.Change)
	}
	again, err := d.Propose(t.Context(), first.Note)
	o.repo.must(err)
	_, err = alice.SendProposal(t.Context(), again)
	o.repo.must(err)
	if r, err = o.approve(bob, again.ID, o.bob); err != nil || r.State != StateComplete || again.ID == first.ID {
		t.Fatalf("%+v, %v", r, err)
	}
	// Somebody publishes between the last signature and the publish.
	o.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) { o.repo.must(tuf.SetTarget(md, appName, "4.0", target(digestOf("four")))) })
	if _, err := r.Publish(t.Context()); !errors.Is(err, tuf.ErrConflict) {
		t.Errorf("on a base that moved: %v", err)
	}
	// What is done already has nothing left to do.
	if d, err = alice.Rebase(t.Context(), second, nil); err != nil || d.Change != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

// FuzzReadProposal checks that what a file or a server sends as a proposal is refused,
// or is what its ID stands for: reviewed on a state that was verified, nothing in it
// brings the reviewer down.
func FuzzReadProposal(f *testing.F) {
	b := newBench(f)
	p, _ := b.publisher()
	p.Confirm, p.Partial = nil, true
	i := signIntent("2.0", "two")
	d, err := p.prepareIntent(f.Context(), &i, nil)
	b.repo.must(err)
	proposal, err := d.Propose(f.Context(), "note")
	b.repo.must(err)
	data, err := json.Marshal(proposal)
	b.repo.must(err)
	f.Add(data)
	f.Add(bytes.Replace(data, []byte(`"targets"`), []byte(`"root"`), 1))
	f.Add([]byte(`{"repository":"registry.example.com/team/app","files":[{"role":"root"}]}`))
	p.Offline = true
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := ReadProposal(in)
		if err != nil {
			return
		}
		if id, err := tuf.ProposalID(got.Repository, got.Metadata()); err != nil || id != got.ID {
			t.Fatalf("taken under the ID %s, where it is %s, %v", got.ID, id, err)
		}
		if r, err := p.Review(context.Background(), got); err == nil && r.State == StateComplete {
			t.Fatalf("nobody signed, and it is complete: %+v", r)
		}
	})
}

// What is approved stands in the journal before anybody has the signature.
func TestApprovalIsNoted(t *testing.T) {
	o := newOffice(t)
	o.board()
	bob := o.person()
	first := o.propose(o.person(), signIntent("2.0", "two"), o.alice)
	r, err := o.approve(bob, first.ID, o.bob)
	o.repo.must(err)
	entries, err := bob.Client.Journal(appName)
	if err != nil || len(entries) != 1 || entries[0].Act != ActApprove || entries[0].SHA256 != r.Change.Files[0].SHA256 {
		t.Errorf("%+v, %v", entries, err)
	}
	other := o.propose(o.person(), signIntent("3.0", "three"), o.carol)
	if _, err := o.approve(bob, other.ID, o.bob); !errors.Is(err, ErrSigned) {
		t.Errorf("a second content: %v", err)
	}
	// Where nothing can be noted, nothing is signed for others to have.
	blind := o.person()
	blind.Client.config.StateDir += "/journal-is-a-folder"
	o.repo.must(os.MkdirAll(blind.Client.journal().path, 0o700))
	proposal, err := blind.Proposal(t.Context(), appName, other.ID)
	o.repo.must(err)
	if r, err = blind.Review(t.Context(), proposal); err == nil {
		err = errors.Join(r.Choose([]tuf.Signer{o.bob}))
	}
	if err == nil {
		t.Error("signed without a journal")
	}
}
