package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/signet-trust/signet/tuf"
)

// office is a bench whose root and targets have three keys each, two of which
// must sign.
type office struct {
	*bench
	alice, bob, carol, dave tuf.Signer
}

func newOffice(t *testing.T) *office {
	t.Helper()
	b := newBench(t)
	o := &office{b, newKey(t), newKey(t), newKey(t), newKey(t)}
	keys := tuf.RoleKeys{Keys: publicKeys(o.alice, o.bob, o.carol), Threshold: 2}
	first := b.repo.rootKeys
	b.repo.rootKeys, b.repo.targetsKeys = []tuf.Signer{o.alice, o.bob}, []tuf.Signer{o.alice, o.bob}
	b.repo.nextRoot(func(root *tuf.Root) {
		b.repo.must(tuf.SetRoleKeys(root, tuf.RoleRoot, keys))
		b.repo.must(tuf.SetRoleKeys(root, tuf.RoleTargets, keys))
	}, slices.Concat(first, b.repo.rootKeys)...)
	b.repo.edit(tuf.RoleTargets, func(*tuf.Targets) {})
	return o
}

func ids(signers ...tuf.Signer) []string {
	list := []string{}
	for _, s := range signers {
		list = append(list, s.Key().ID())
	}
	return list
}

// follows fails the test unless a client with old state and one without both
// trust tag 1.0.
func (b *bench) follows() {
	b.t.Helper()
	b.trusts("1.0", "one")
	kept := b.config.StateDir
	b.config.StateDir = b.t.TempDir()
	b.trusts("1.0", "one")
	b.config.StateDir = kept
}

// TestChangeRootKeys takes root from one key to two of three, and away from the
// key that it began with. Whoever pinned that follows.
func TestChangeRootKeys(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	p, changes := b.publisher()
	first, alice, bob := b.repo.rootKeys[0], newKey(t), newKey(t)
	out, err := p.ChangeKeys(t.Context(), ChangeKeysRequest{Repository: appName, Role: tuf.RoleRoot, Add: publicKeys(alice, bob), Threshold: 2,
		Attestations: map[string][]string{alice.Key().ID(): {"ALICE"}, newKey(t).Key().ID(): {"STRANGER"}}, Signers: []tuf.Signer{bob, first, alice}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Versions["root"] != 2 || out.Versions["targets"] != 2 {
		t.Errorf("versions %v: only root was to change", out.Versions)
	}
	file := (*changes)[0].Files[0]
	if diff := cmp.Diff(ids(first, bob), file.SignedBy); diff != "" {
		t.Error("of three keys at hand two are needed, the old one and another:", diff)
	}
	if diff := cmp.Diff([]ThresholdChange{{"root", 1, 2}}, file.Thresholds); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]AttestationChange{{KeyID: alice.Key().ID(), Key: alice.Key(), New: []string{"ALICE"}}}, file.Attestations); diff != "" {
		t.Error(diff)
	}
	if len(file.Keys) != 2 || !file.Keys[0].Added || !file.Keys[1].Added || len((*changes)[0].Warnings) > 0 || len(file.Members) > 0 {
		t.Errorf("%+v", (*changes)[0])
	}
	b.follows()
	// The first key goes, and with it nobody's attestation. Two of the three sign.
	if _, err = p.ChangeKeys(t.Context(), ChangeKeysRequest{Repository: appName, Role: tuf.RoleRoot, Remove: ids(first), Signers: []tuf.Signer{first, alice, bob}}); err != nil {
		t.Fatal(err)
	}
	file = (*changes)[1].Files[0]
	if diff := cmp.Diff(ids(alice, bob), file.SignedBy); diff != "" {
		t.Error("keys that stay count for both roots:", diff)
	}
	if diff := cmp.Diff([]Holders{{"root", ids(first, alice, bob)[1:], 2}}, slices.DeleteFunc(file.Roles, func(h Holders) bool { return h.Role != "root" })); diff != "" {
		t.Error(diff)
	}
	b.follows()
	// alice's goes, and her attestation.
	if _, err = p.ChangeKeys(t.Context(), ChangeKeysRequest{Repository: appName, Role: tuf.RoleRoot, Remove: ids(alice), Threshold: 1, Signers: []tuf.Signer{alice, bob}}); err != nil {
		t.Fatal(err)
	}
	last := (*changes)[2]
	if a := last.Files[0].Attestations; len(a) != 1 || a[0].New != nil || a[0].KeyID != alice.Key().ID() {
		t.Errorf("%+v", a)
	}
	if len(last.Warnings) != 1 || !strings.Contains(last.Warnings[0], "one key only") {
		t.Errorf("nobody is told that root hangs on one key: %q", last.Warnings)
	}
	b.follows()
}

// TestChangeTargetsKeys has the targets file signed anew when, and only when, too
// few of its signatures would count.
func TestChangeTargetsKeys(t *testing.T) {
	for name, c := range map[string]struct {
		request func(o *office) ChangeKeysRequest
		files   []string
		signers func(o *office) []string // of the last file
	}{
		"a key that did not sign goes": {
			func(o *office) ChangeKeysRequest { return ChangeKeysRequest{Remove: ids(o.carol)} },
			[]string{"root"}, func(o *office) []string { return ids(o.alice, o.bob) }},
		"a key that signed goes": {
			func(o *office) ChangeKeysRequest { return ChangeKeysRequest{Remove: ids(o.bob)} },
			[]string{"root", "targets"}, func(o *office) []string { return ids(o.alice, o.carol) }},
		"one comes, another goes": {
			func(o *office) ChangeKeysRequest {
				return ChangeKeysRequest{Add: publicKeys(o.dave), Remove: ids(o.alice)}
			},
			[]string{"root", "targets"}, func(o *office) []string { return ids(o.bob, o.carol) }},
		"all three must sign": {
			func(o *office) ChangeKeysRequest { return ChangeKeysRequest{Threshold: 3} },
			[]string{"root", "targets"}, func(o *office) []string { return ids(o.alice, o.bob, o.carol) }},
		"one must sign": {
			func(o *office) ChangeKeysRequest { return ChangeKeysRequest{Threshold: 1} },
			[]string{"root"}, func(o *office) []string { return ids(o.alice, o.bob) }},
		"a key comes": {
			func(o *office) ChangeKeysRequest { return ChangeKeysRequest{Add: publicKeys(o.dave)} },
			[]string{"root"}, func(o *office) []string { return ids(o.alice, o.bob) }},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			o.trusts("1.0", "one")
			p, changes := o.publisher()
			r := c.request(o)
			r.Repository, r.Role, r.Signers = appName, tuf.RoleTargets, []tuf.Signer{o.alice, o.bob, o.carol, o.dave}
			if _, err := p.ChangeKeys(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			var files []string
			for _, file := range (*changes)[0].Files {
				files = append(files, file.Role)
			}
			if diff := cmp.Diff(c.files, files); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.signers(o), (*changes)[0].Files[len(files)-1].SignedBy); diff != "" {
				t.Error(diff)
			}
			o.follows()
		})
	}
}

// TestForgedSignatureDoesNotCount has somebody put a key's name under a file that
// the key has not signed. The file is signed anew all the same.
func TestForgedSignatureDoesNotCount(t *testing.T) {
	o := newOffice(t)
	targets, err := tuf.ReadTargets(o.repo.roles[tuf.RoleTargets].Bytes)
	o.repo.must(err)
	tuf.AddSignature(targets, o.carol.Key().ID(), targets.Signatures[0].Signature)
	data, err := tuf.Encode(targets)
	o.repo.must(err)
	file := o.repo.roles[tuf.RoleTargets]
	file.Bytes = data
	o.repo.mu.Lock()
	o.repo.roles[tuf.RoleTargets], o.repo.files[file.Name()] = file, data
	o.repo.mu.Unlock()
	o.repo.release()
	p, changes := o.publisher()
	if _, err := p.ChangeKeys(t.Context(), ChangeKeysRequest{Repository: appName, Role: tuf.RoleTargets, Remove: ids(o.bob), Signers: []tuf.Signer{o.alice, o.bob, o.carol}}); err != nil {
		t.Fatal(err)
	}
	if files := (*changes)[0].Files; len(files) != 2 {
		t.Errorf("%+v", files)
	}
	o.follows()
}

// TestChangeSignerKeys does the same for a signer, whose keys targets list.
func TestChangeSignerKeys(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	alice, bob, carol, dave := newKey(t), newKey(t), newKey(t), newKey(t)
	owner := b.repo.targetsKeys
	if _, err := p.AddSigner(t.Context(), AddSignerRequest{Repository: appName, Name: "ci", Keys: tuf.RoleKeys{Keys: publicKeys(alice, bob, carol), Threshold: 2},
		Tags: []string{"ci-*"}, Attestations: map[string][]string{bob.Key().ID(): {"BOB"}}, Signers: []tuf.Signer{owner[0], alice, bob}}); err != nil {
		t.Fatal(err)
	}
	r := b.signRequest("ci-1", "one")
	r.Signers = []tuf.Signer{alice, bob}
	if _, err := p.Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	b.trusts("ci-1", "one")
	change := func(r ChangeKeysRequest) []string {
		t.Helper()
		*changes = nil
		r.Repository, r.Role, r.Signers = appName, "ci", []tuf.Signer{owner[0], alice, bob, carol, dave}
		if _, err := p.ChangeKeys(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		b.trusts("ci-1", "one")
		b.follows()
		var files []string
		for _, file := range (*changes)[0].Files {
			files = append(files, file.Role)
		}
		return files
	}
	if diff := cmp.Diff([]string{"targets"}, change(ChangeKeysRequest{Add: publicKeys(dave), Remove: ids(carol), Attestations: map[string][]string{dave.Key().ID(): {"DAVE"}}})); diff != "" {
		t.Error("the file of ci was signed by keys that stay:", diff)
	}
	if c := (*changes)[0].Files[0]; len(c.Attestations) != 1 || c.Attestations[0].KeyID != dave.Key().ID() || len(c.Keys) != 2 || len(c.Signers) > 0 {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff([]string{"targets", "ci"}, change(ChangeKeysRequest{Remove: ids(bob)})); diff != "" {
		t.Error("bob signed the file of ci:", diff)
	}
	if diff := cmp.Diff(ids(alice, dave), (*changes)[0].Files[1].SignedBy); diff != "" {
		t.Error(diff)
	}
	if a := (*changes)[0].Files[0].Attestations; len(a) != 1 || a[0].KeyID != bob.Key().ID() || a[0].New != nil {
		t.Errorf("bob's attestation: %+v", a)
	}
}

// TestKeysThatNoRoleCanHave refuses before anything is asked of anybody.
func TestKeysThatNoRoleCanHave(t *testing.T) {
	o := newOffice(t)
	p, changes := o.publisher()
	all := []tuf.Signer{o.alice, o.bob, o.carol, o.dave}
	for name, c := range map[string]struct {
		request ChangeKeysRequest
		want    error
	}{
		"all root keys go":          {ChangeKeysRequest{Role: tuf.RoleRoot, Remove: ids(o.alice, o.bob, o.carol)}, ErrRoleKeys},
		"fewer keys than threshold": {ChangeKeysRequest{Role: tuf.RoleTargets, Remove: ids(o.alice, o.bob)}, ErrRoleKeys},
		"threshold above keys":      {ChangeKeysRequest{Role: tuf.RoleRoot, Threshold: 4}, ErrRoleKeys},
		"threshold below zero":      {ChangeKeysRequest{Role: tuf.RoleRoot, Threshold: -1}, ErrRoleKeys},
		"an online key":             {ChangeKeysRequest{Role: tuf.RoleSnapshot, Add: publicKeys(o.dave)}, ErrRoleKeys},
		"a stranger goes":           {ChangeKeysRequest{Role: tuf.RoleRoot, Remove: ids(o.dave)}, ErrKeys},
		"a stranger goes, one comes": {ChangeKeysRequest{Role: tuf.RoleRoot, Remove: ids(newKey(t)), Add: publicKeys(o.dave)},
			ErrKeys},
		"one comes and goes": {ChangeKeysRequest{Role: tuf.RoleRoot, Remove: ids(o.alice), Add: publicKeys(o.alice)}, ErrKeys},
		"no such signer":     {ChangeKeysRequest{Role: "ci", Add: publicKeys(o.dave)}, tuf.ErrNotFound},
	} {
		c.request.Repository, c.request.Signers = appName, all
		if _, err := p.ChangeKeys(t.Context(), c.request); !errors.Is(err, c.want) || tuf.IsRefusal(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(*changes) > 0 {
		t.Errorf("somebody was asked: %+v", *changes)
	}
}

// TestKeysErrorNamesWhoMustSign tells which role's keys are lacking, the old
// root's, the new root's or the file's.
func TestKeysErrorNamesWhoMustSign(t *testing.T) {
	o := newOffice(t)
	p, changes := o.publisher()
	for name, c := range map[string]struct {
		request ChangeKeysRequest
		role    string
		given   []string
	}{
		"nobody":                 {ChangeKeysRequest{Role: tuf.RoleRoot, Add: publicKeys(o.dave)}, "the old root", nil},
		"one of two":             {ChangeKeysRequest{Role: tuf.RoleRoot, Add: publicKeys(o.dave), Signers: []tuf.Signer{o.alice, o.dave}}, "the old root", ids(o.alice)},
		"old keys, none of new":  {ChangeKeysRequest{Role: tuf.RoleRoot, Add: publicKeys(o.dave), Remove: ids(o.alice, o.bob), Signers: []tuf.Signer{o.alice, o.bob}}, "the new root", nil},
		"root for targets":       {ChangeKeysRequest{Role: tuf.RoleTargets, Threshold: 3, Signers: []tuf.Signer{o.carol}}, "root", ids(o.carol)},
		"the file, signed anew":  {ChangeKeysRequest{Role: tuf.RoleTargets, Remove: ids(o.bob), Signers: []tuf.Signer{o.alice, o.bob}}, "targets", ids(o.alice)},
		"the file by three keys": {ChangeKeysRequest{Role: tuf.RoleTargets, Threshold: 3, Signers: []tuf.Signer{o.alice, o.bob}}, "targets", ids(o.alice, o.bob)},
	} {
		c.request.Repository = appName
		_, err := p.ChangeKeys(t.Context(), c.request)
		e, ok := errors.AsType[*KeysError](err)
		if !ok || !errors.Is(err, ErrKeys) || e.Role != c.role || len(e.Given) != len(c.given) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, key := range e.Keys {
			if slices.ContainsFunc(e.Given, key.Equal) == strings.Contains(err.Error(), key.ID()[:12]) {
				t.Errorf("%s: %v does not name just the keys that could sign", name, err)
			}
		}
		// A dry run shows the change all the same, and publishes nothing.
		p.DryRun = true
		prepared, err := p.PrepareChangeKeys(t.Context(), c.request)
		if err != nil || prepared.Change == nil || len(prepared.Missing) == 0 || prepared.Missing[0].Role != c.role {
			t.Errorf("%s: dry run: %+v, %v", name, prepared, err)
		} else if _, err := prepared.Publish(t.Context()); !errors.Is(err, ErrKeys) {
			t.Errorf("%s: a dry run was published: %v", name, err)
		}
		p.DryRun = false
	}
	if len(*changes) > 0 {
		t.Errorf("somebody was asked: %+v", *changes)
	}
}

// TestChangeKeysAgain finds nothing to do, whatever became of the first answer.
func TestChangeKeysAgain(t *testing.T) {
	o := newOffice(t)
	p, changes := o.publisher()
	r := ChangeKeysRequest{Repository: appName, Role: tuf.RoleRoot, Add: publicKeys(o.dave), Remove: ids(o.alice), Signers: []tuf.Signer{o.alice, o.bob, o.carol, o.dave}}
	for i := range 2 {
		out, err := p.ChangeKeys(t.Context(), r)
		if err != nil || (out.Change == nil) != (i == 1) {
			t.Errorf("time %d: %+v, %v", i+1, out, err)
		}
	}
	// An attestation alone is a change.
	r = ChangeKeysRequest{Repository: appName, Role: tuf.RoleRoot, Attestations: map[string][]string{o.bob.Key().ID(): {"BOB"}}, Signers: r.Signers}
	if out, err := p.ChangeKeys(t.Context(), r); err != nil || out.Change == nil {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := p.ChangeKeys(t.Context(), r); err != nil || out.Change != nil || len(*changes) != 2 {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestChangeKeysRace loses to somebody who renewed root meanwhile, and to
// somebody who did the very same.
func TestChangeKeysRace(t *testing.T) {
	o := newOffice(t)
	p, changes := o.publisher()
	others, _ := o.publisher()
	all := []tuf.Signer{o.alice, o.bob, o.carol, o.dave}
	agree := p.Confirm
	race := func(first func() error) {
		raced := false
		*changes = nil
		p.Confirm = func(ctx context.Context, change *Change) error {
			if !raced {
				raced = true
				if err := first(); err != nil {
					t.Error(err)
				}
			}
			return agree(ctx, change)
		}
	}
	others.Confirm = nil
	race(func() error {
		_, err := others.Renew(t.Context(), RenewRequest{Repository: appName, Roles: []string{tuf.RoleRoot}, Signers: []tuf.Signer{o.alice, o.bob}})
		return err
	})
	r := ChangeKeysRequest{Repository: appName, Role: tuf.RoleTargets, Remove: ids(o.alice), Signers: all}
	out, err := p.ChangeKeys(t.Context(), r)
	if err != nil || len(*changes) != 2 || !(*changes)[1].Rebased || out.Change != (*changes)[1] || out.Versions["root"] != 4 {
		t.Errorf("%+v, %v, asked %d times", out, err, len(*changes))
	}
	r = ChangeKeysRequest{Repository: appName, Role: tuf.RoleRoot, Remove: ids(o.bob), Threshold: 1, Signers: all}
	race(func() error {
		o.clock.Add(time.Minute) // or it would be the very same file
		_, err := others.ChangeKeys(t.Context(), r)
		return err
	})
	if out, err := p.ChangeKeys(t.Context(), r); err != nil || out.Change != nil || len(*changes) != 1 {
		t.Errorf("done by another: %+v, %v, asked %d times", out, err, len(*changes))
	}
	o.follows()
}
