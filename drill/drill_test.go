package drill_test

import (
	"context"
	"slices"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/drill"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const name = "registry.example.com/team/app"

// A house is a repository on a real server, and the keys of its people.
type house struct {
	publisher              *client.Publisher
	root, targets, release []tuf.Signer
}

func keys(t *testing.T, n int) []tuf.Signer {
	var list []tuf.Signer
	for range n {
		list = append(list, harness.NewKey(t))
	}
	return list
}

func roleKeys(threshold int, signers []tuf.Signer) tuf.RoleKeys {
	keys := tuf.RoleKeys{Threshold: threshold}
	for _, s := range signers {
		keys.Keys = append(keys.Keys, s.Key())
	}
	return keys
}

// newHouse makes a repository with so many root and targets keys, and a signer of
// release-* with 2 of 3 keys.
func newHouse(t *testing.T, root, rootThreshold, targets int) *house {
	server := harness.Start(t)
	identity, err := server.Signer.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := &house{
		root: keys(t, root), targets: keys(t, targets), release: keys(t, 3),
		publisher: &client.Publisher{
			Client: client.New(client.Config{StateDir: t.TempDir(), Now: server.Clock.Now}),
			Server: client.Server{URL: server.URL, CA: string(server.CA), Token: server.AdminToken, Identity: identity.Key},
		},
	}
	out, err := h.publisher.Init(t.Context(), client.InitRequest{Repository: name, Root: roleKeys(rootThreshold, h.root), Targets: roleKeys(1, h.targets), Signers: slices.Concat(h.root, h.targets)})
	if err != nil {
		t.Fatal(err)
	}
	h.publisher.Anchor = out.Anchor
	if _, err := h.publisher.AddSigner(t.Context(), client.AddSignerRequest{Repository: name, Name: "release", Tags: []string{"release-*"},
		Keys: roleKeys(2, h.release), Signers: slices.Concat(h.targets, h.release)}); err != nil {
		t.Fatal(err)
	}
	return h
}

// drill runs a drill with some keys at hand.
func (h *house) drill(t *testing.T, hand ...tuf.Signer) *drill.Report {
	t.Helper()
	view, err := h.publisher.Client.View(t.Context(), name, client.Options{Anchor: h.publisher.Anchor})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range hand {
		ids = append(ids, s.Key().ID())
	}
	report, err := drill.Run(t.Context(), drill.Request{View: view, Hand: ids})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func scenes(r *drill.Report, kind, role string) []drill.Scene {
	return slices.DeleteFunc(slices.Clone(r.Scenes), func(s drill.Scene) bool { return s.Kind != kind || s.Role != role })
}

func TestEnough(t *testing.T) {
	h := newHouse(t, 3, 2, 2)
	before, err := h.publisher.Client.View(t.Context(), name, client.Options{Anchor: h.publisher.Anchor})
	if err != nil {
		t.Fatal(err)
	}
	r := h.drill(t, slices.Concat(h.root, h.targets, h.release)...)
	if !r.Enough || len(r.Scenes) != 3+2+1 || len(r.NotRehearsed) > 0 {
		t.Errorf("%+v", r)
	}
	for _, s := range r.Scenes {
		if !s.Enough || s.Lack != "" || len(s.Steps) < 3 {
			t.Errorf("%+v", s)
		}
	}
	stolen := scenes(r, drill.KeysStolen, "release")
	if len(stolen) != 1 || !stolen[0].Forged || len(stolen[0].Keys) != 2 || stolen[0].Signer != tuf.RoleTargets {
		t.Fatalf("%+v", stolen)
	}
	// One key is refused, both are believed, and neither after they were replaced.
	var saw []string
	for _, step := range stolen[0].Steps {
		if step.Who == "verifier" || step.Who == "newcomer" {
			saw = append(saw, step.Saw)
		}
	}
	want := []string{"refused: threshold", "the right image is trusted", "the thief's image is trusted",
		"refused: absent", "the right image is trusted", "refused: absent", "the right image is trusted", "refused: threshold"}
	if !slices.Equal(saw, want) {
		t.Errorf("verifiers saw %q, expected %q", saw, want)
	}
	after, err := h.publisher.Client.View(t.Context(), name, client.Options{Anchor: h.publisher.Anchor})
	if err != nil || after.Role(tuf.RoleRoot).Version != before.Role(tuf.RoleRoot).Version || len(after.Tags) != len(before.Tags) {
		t.Errorf("the drill touched the repository: %+v, %v", after, err)
	}
}

func TestTooFew(t *testing.T) {
	h := newHouse(t, 1, 1, 1)
	r := h.drill(t, slices.Concat(h.root, h.targets, h.release)...)
	lost := scenes(r, drill.RootKeyLost, tuf.RoleRoot)
	if r.Enough || len(lost) != 1 || lost[0].Enough || lost[0].Lack != drill.LackSpare {
		t.Errorf("the only root key is lost: %+v", lost)
	}
	// The others are mended with that key.
	for _, s := range r.Scenes {
		if s.Kind != drill.RootKeyLost && !s.Enough {
			t.Errorf("%+v", s)
		}
	}
}

func TestElsewhere(t *testing.T) {
	h := newHouse(t, 3, 2, 1)
	r := h.drill(t, h.root[0], h.targets[0])
	if r.Enough {
		t.Error("one of two root keys is enough")
	}
	for _, s := range r.Scenes {
		// Signers' keys are given by targets, whose key is here.
		if enough := s.Role == "release"; s.Enough != enough || !enough && (s.Lack != drill.LackElsewhere || len(s.Needed) == 0) {
			t.Errorf("%s of %s: %+v", s.Kind, s.Role, s)
		}
		for _, id := range s.Needed {
			if !slices.ContainsFunc(h.root, func(key tuf.Signer) bool { return key.Key().ID() == id }) {
				t.Errorf("%s of %s needs the key %s, which is no root key", s.Kind, s.Role, id)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	h := newHouse(t, 1, 1, 1)
	view, err := h.publisher.Client.View(t.Context(), name, client.Options{Anchor: h.publisher.Anchor})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := drill.Run(ctx, drill.Request{View: view}); err == nil {
		t.Errorf("%+v", report)
	}
}
