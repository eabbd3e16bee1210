package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

// A noted signer notes each signature that it makes, and which touch it is.
type notedSigner struct {
	tuf.Signer
	name string
	log  *[]string
}

func (s notedSigner) Sign(ctx context.Context, msg []byte) ([]byte, error) {
	n, of := keystore.Touch(ctx)
	*s.log = append(*s.log, fmt.Sprintf("%s signs %s, %s, touch %d of %d", s.name, msg, keystore.Reason(ctx), n, of))
	return s.Signer.Sign(ctx, msg)
}

// A people is a keyring with the keys of several, by their names, and what they did.
type people struct {
	ring   *keyring
	ids    map[string]string
	log    []string
	stderr bytes.Buffer
}

func (s *people) key(t *testing.T, name string, key foundKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := tuf.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	key.Key = signer.Key()
	s.ids[name] = key.ID()
	s.ring.known[key.ID()] = key
	s.ring.open[key.ID()] = notedSigner{signer, name, &s.log}
}

// sit has alice and bob with a YubiKey each, bob's not plugged in; carol with a
// file; and dave with a YubiKey that wants no touch.
func sit(t *testing.T) *people {
	s := &people{ids: map[string]string{}}
	s.ring = &keyring{app: &app{}, open: map[string]tuf.Signer{}, known: map[string]foundKey{}}
	s.ring.app.stderr = cleanWriter{&s.stderr}
	s.key(t, "alice", foundKey{slot: &yubikey.SlotInfo{Serial: 1, Slot: yubikey.Signature, Touch: yubikey.Always}})
	s.key(t, "bob", foundKey{entry: &keystore.Entry{Stick: &keystore.OnStick{Serial: 2, Slot: "82", Touch: yubikey.Always}}})
	s.key(t, "carol", foundKey{entry: &keystore.Entry{}})
	s.key(t, "dave", foundKey{slot: &yubikey.SlotInfo{Serial: 4, Slot: yubikey.Signature, Touch: yubikey.Never}})
	s.key(t, "erin", foundKey{slot: &yubikey.SlotInfo{Serial: 5, Slot: yubikey.Signature, Touch: yubikey.Cached}})
	return s
}

// change is one file of one repository that people sign.
func (s *people) change(repository string, people ...string) *client.Change {
	file := client.FileChange{Role: "targets", Version: 2, Payload: []byte("of " + repository)}
	for _, name := range people {
		file.SignedBy = append(file.SignedBy, s.ids[name])
	}
	return &client.Change{Repository: repository, Files: []client.FileChange{file}}
}

func (s *people) sign(t *testing.T, name, repository string) {
	t.Helper()
	key := s.ring.known[s.ids[name]]
	ctx := keystore.WithReason(context.Background(), "targets version 2 of "+repository)
	if _, err := tuf.SignPayload(ctx, []byte("of "+repository), lazySigner{s.ring, key}); err != nil {
		t.Fatal(err)
	}
}

func TestTouchesAreTold(t *testing.T) {
	for _, test := range []struct {
		claim  string
		people []string
		want   string
	}{
		{"one", []string{"alice"}, "signet: 1 touch comes: YubiKey 1\n"},
		{"none of a stick that wants none", []string{"dave"}, ""},
		{"of two sticks", []string{"alice", "bob", "dave"}, "signet: 2 touches come: 1 of YubiKey 1, 1 of YubiKey 2\n"},
		{"not for sure", []string{"erin"}, "signet: up to 1 touch comes: YubiKey 5\n"},
	} {
		t.Run(test.claim, func(t *testing.T) {
			s := sit(t)
			s.ring.tellTouches([]*client.Change{s.change("a.example/b", test.people...)})
			if got := s.stderr.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Each touch is told by its number, those of a change that was built anew on top.
func TestTouchesAreCounted(t *testing.T) {
	s := sit(t)
	s.ring.tellTouches([]*client.Change{s.change("a.example/b", "alice", "dave"), s.change("a.example/c", "alice")})
	s.sign(t, "alice", "a.example/b")
	s.sign(t, "dave", "a.example/b")
	s.ring.tellTouches([]*client.Change{s.change("a.example/b", "alice")})
	s.sign(t, "alice", "a.example/b")
	s.sign(t, "alice", "a.example/c")
	want := []string{
		"alice signs of a.example/b, targets version 2 of a.example/b, touch 1 of 2",
		"dave signs of a.example/b, targets version 2 of a.example/b, touch 0 of 0",
		"alice signs of a.example/b, targets version 2 of a.example/b, touch 2 of 3",
		"alice signs of a.example/c, targets version 2 of a.example/c, touch 3 of 3",
	}
	if diff := cmp.Diff(want, s.log); diff != "" {
		t.Error(diff)
	}
}

// With a YubiKey to be plugged in, each signs all of its files in one go, and is
// not asked again when they are published.
func TestSignAheadChangesSticksOnce(t *testing.T) {
	s := sit(t)
	changes := []*client.Change{s.change("a.example/b", "alice", "bob"), s.change("a.example/c", "alice", "bob")}
	s.ring.tellTouches(changes)
	if err := s.ring.signAhead(t.Context(), changes, []string{"YubiKey 1", "YubiKey 2"}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"alice signs of a.example/b, targets version 2 of a.example/b, touch 1 of 4",
		"alice signs of a.example/c, targets version 2 of a.example/c, touch 2 of 4",
		"bob signs of a.example/b, targets version 2 of a.example/b, touch 3 of 4",
		"bob signs of a.example/c, targets version 2 of a.example/c, touch 4 of 4",
	}
	for _, name := range []string{"alice", "bob"} {
		s.sign(t, name, "a.example/b")
		s.sign(t, name, "a.example/c")
	}
	if diff := cmp.Diff(want, s.log); diff != "" {
		t.Error(diff)
	}

	// What was not shown is not signed by what was made ahead.
	s.sign(t, "bob", "a.example/d")
	if len(s.log) != 5 {
		t.Errorf("another payload got the signature of this one: %q", s.log)
	}
}

// Where all is plugged in, each repository is signed when it is published.
func TestNothingIsSignedAheadWithoutNeed(t *testing.T) {
	s := sit(t)
	changes := []*client.Change{s.change("a.example/b", "alice"), s.change("a.example/c", "dave")}
	if err := s.ring.signAhead(t.Context(), changes, []string{"YubiKey 1", "YubiKey 4"}); err != nil {
		t.Fatal(err)
	}
	if len(s.log) > 0 {
		t.Errorf("signed before its turn: %q", s.log)
	}
}

func TestIsDone(t *testing.T) {
	s := sit(t)
	key := func(name string) *tuf.Key { return s.ring.known[s.ids[name]].Key }
	role := client.SigningRole{Name: "root", Threshold: 1, Keys: []*tuf.Key{key("alice"), key("bob")}}
	for _, test := range []struct {
		claim   string
		request client.ChangeKeysRequest
		want    bool
	}{
		{"all of it is so", client.ChangeKeysRequest{Add: []*tuf.Key{key("bob")}, Remove: []string{s.ids["carol"]}, Threshold: 1}, true},
		{"a key is to come", client.ChangeKeysRequest{Add: []*tuf.Key{key("carol")}}, false},
		{"a key is to go", client.ChangeKeysRequest{Remove: []string{s.ids["alice"]}}, false},
		{"another threshold", client.ChangeKeysRequest{Threshold: 2}, false},
		{"perhaps another attestation", client.ChangeKeysRequest{Add: []*tuf.Key{key("bob")}, Attestations: map[string][]string{s.ids["bob"]: {"x"}}}, false},
	} {
		if got := isDone(role, test.request); got != test.want {
			t.Errorf("%s: got %v", test.claim, got)
		}
	}
	if isDone(client.SigningRole{Name: "nobody"}, client.ChangeKeysRequest{Remove: []string{"00"}}) {
		t.Error("a role that is not there needs nothing done")
	}
}

// signet writes two paths for a pattern of tags; a person reads one.
func TestPathsAreReadAsTags(t *testing.T) {
	s := signerInfo{}.of("a.example/b", []string{"a.example/b:v*", "a.example/b:v*@sha256:*", "a.example/b:x@sha256:*", "a.example/c:*"}, true)
	if got, want := s.tags(), "v* x@sha256:* and paths a.example/c:* (nobody after it)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDemands(t *testing.T) {
	all := &attestation.Demand{MinFirmware: attestation.Version{Major: 5, Minor: 7}, Touch: true, PIN: true, Signers: true, Roots: "x"}
	for _, test := range []struct {
		demand *attestation.Demand
		want   string
	}{
		{nil, ""}, {&attestation.Demand{}, "YubiKeys"},
		{all, "YubiKeys, firmware 5.7.0 or newer, touch, PIN, signers too, attestation roots of one's own beside Yubico's"},
	} {
		if got := demands(test.demand); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// A key without a proof, and one whose proof nobody here believes, are warned of.
func TestKeysWithoutProofAreWarnedOf(t *testing.T) {
	s := sit(t)
	s.ring.app.now = time.Now
	key := s.ring.known[s.ids["carol"]].Key
	s.ring.warnOfKeys(attestation.Yubico(), "root", []*tuf.Key{key}, nil)
	if got := s.stderr.String(); !strings.Contains(got, "nothing proves that it was made on a YubiKey") {
		t.Errorf("got %q", got)
	}
	s.stderr.Reset()
	s.ring.warnOfKeys(attestation.Yubico(), "root", []*tuf.Key{key}, map[string][]string{key.ID(): {"garbled"}})
	if got := s.stderr.String(); !strings.Contains(got, "its attestation will not be believed") {
		t.Errorf("got %q", got)
	}
	lines := keyLines(client.FileChange{Keys: []client.KeyChange{{Role: "root", Key: key, Added: true}}, Attestations: []client.AttestationChange{{KeyID: key.ID(), New: []string{"garbled"}}}}, s.ring)
	if len(lines) != 1 || !strings.HasSuffix(lines[0], ", attestation not believed (attestation-chain)") {
		t.Errorf("got %q", lines)
	}
}

// What an attestation is worth is told of a key that is there already, too, be it the first
// one or another one. Two chains of one key are not taken for each other.
func TestAttestationOfAKeyThatIsThere(t *testing.T) {
	s := sit(t)
	s.ring.app.now = time.Now
	maker, err := card.NewMaker()
	if err != nil {
		t.Fatal(err)
	}
	if s.ring.vouchers, err = attestation.Yubico().With(maker.AuthorityPEM()); err != nil {
		t.Fatal(err)
	}
	key := s.ring.known[s.ids["carol"]].Key
	leaf, stick, err := maker.Attest(card.Claim{Key: key.Public(), Slot: 0x9c, Serial: 1, Firmware: card.Firmware{Major: 5, Minor: 7, Patch: 4}, PIN: 3, Touch: 2, FormFactor: 1})
	if err != nil {
		t.Fatal(err)
	}
	good := chainPEM([][]byte{leaf.Raw, stick.Raw})
	bad := []string{strings.Join(good, "")}
	const doubted = ", attestation not believed (attestation-chain)"
	for _, test := range []struct {
		key          *tuf.Key
		old, new     []string
		begins, ends string
	}{
		{key, nil, good, "+ attestation of", ": firmware 5.7.4, PIN always, touch always"},
		{key, nil, bad, "+ attestation of", doubted},
		{key, good, bad, "~ another attestation of", doubted},
		{key, good, nil, "- attestation of", ""},
		{nil, nil, good, "+ attestation of", ", which no role lists"},
	} {
		change := client.AttestationChange{KeyID: key.ID(), Key: test.key, Old: test.old, New: test.new}
		lines := keyLines(client.FileChange{Attestations: []client.AttestationChange{change}}, s.ring)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], test.begins) || !strings.HasSuffix(lines[0], test.ends) {
			t.Errorf("got %q, expected %s ... %s", lines, test.begins, test.ends)
		}
	}
	// Who is believed may be another matter at the next step of the same command.
	s.ring.warnOfKeys(attestation.Yubico(), "root", nil, nil)
	change := client.AttestationChange{KeyID: key.ID(), Key: key, New: good}
	if lines := keyLines(client.FileChange{Attestations: []client.AttestationChange{change}}, s.ring); len(lines) != 1 || !strings.HasSuffix(lines[0], doubted) {
		t.Errorf("got %q, expected %s", lines, doubted)
	}
}
