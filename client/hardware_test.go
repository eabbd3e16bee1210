package client

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

// The policies as bytes.
const (
	pinNever, pinOnce, pinAlways       = 1, 2, 3
	touchNever, touchAlways, touchCach = 1, 2, 3
)

func newMaker(t testing.TB, options ...card.MakerOption) *card.Maker {
	t.Helper()
	maker, err := card.NewMaker(options...)
	if err != nil {
		t.Fatal(err)
	}
	return maker
}

// attestBy returns what a stick of maker says of a key: the best, but for edits.
func attestBy(t testing.TB, maker *card.Maker, key *tuf.Key, edits ...func(*card.Claim)) []string {
	t.Helper()
	claim := card.Claim{Key: key.Public(), Slot: 0x9c, Serial: 12345678, Firmware: card.Firmware{Major: 5, Minor: 7, Patch: 4},
		PIN: pinAlways, Touch: touchAlways, FormFactor: 1}
	for _, edit := range edits {
		edit(&claim)
	}
	leaf, stick, err := maker.Attest(claim)
	if err != nil {
		t.Fatal(err)
	}
	return []string{pemOf(leaf), pemOf(stick)}
}

func pemOf(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

// attested publishes a root with these chains for the root and targets key.
func (b *bench) attested(root, targets []string) {
	b.t.Helper()
	b.repo.nextRoot(func(md *tuf.Root) {
		tuf.SetAttestations(md, map[string][]string{b.repo.rootKeys[0].Key().ID(): root, b.repo.targetsKeys[0].Key().ID(): targets})
	})
}

// demands makes the bench's anchor demand hardware of maker.
func (b *bench) demands(maker *card.Maker, edits ...func(*attestation.Demand)) {
	demand := &attestation.Demand{Touch: true, PIN: true, Roots: string(maker.AuthorityPEM())}
	for _, edit := range edits {
		edit(demand)
	}
	b.anchor.Hardware = demand
}

func (b *bench) offline(tag string) error {
	b.t.Helper()
	d, err := b.client().Verify(b.t.Context(), tuf.Image{Repository: b.repo.name, Tag: tag}, Options{Offline: true})
	if (err == nil) != d.Trusted {
		b.t.Errorf("offline: %+v with %v", d, err)
	}
	return err
}

// TestHardwareRules has each rule decide, online for who knows nothing, and
// offline for who has seen the repository before.
func TestHardwareRules(t *testing.T) {
	b := newBench(t)
	maker, eve := newMaker(t), newMaker(t)
	rootKey, targetsKey := b.repo.rootKeys[0].Key(), b.repo.targetsKeys[0].Key()
	good := func() []string { return attestBy(t, maker, rootKey) }
	claim := func(edit func(*card.Claim)) func() []string {
		return func() []string { return attestBy(t, maker, targetsKey, edit) }
	}
	for _, test := range []struct {
		name    string
		targets func() []string
		edit    func(*attestation.Demand)
		rule    tuf.Rule
	}{
		{"touch and PIN", claim(func(*card.Claim) {}), nil, ""},
		{"a cached touch, the PIN once", claim(func(c *card.Claim) { c.Touch, c.PIN = touchCach, pinOnce }), nil, ""},
		{"a file key", func() []string { return nil }, nil, tuf.RuleNotAttested},
		{"eve's root", func() []string { return attestBy(t, eve, targetsKey) }, nil, tuf.RuleAttestationChain},
		{"eve's stick", func() []string { return []string{attestBy(t, maker, targetsKey)[0], attestBy(t, eve, targetsKey)[1]} }, nil, tuf.RuleAttestationChain},
		{"no stick", func() []string { return attestBy(t, maker, targetsKey)[:1] }, nil, tuf.RuleAttestationChain},
		{"garbled", func() []string { return []string{"x", "y"} }, nil, tuf.RuleAttestationChain},
		{"an expired root", func() []string { return attestBy(t, newMaker(t, card.Until(b.clock.Now().Add(-day))), targetsKey) },
			nil, tuf.RuleAttestationChain}, // of a maker that nobody trusts: it is no matter when
		{"the root's own", good, nil, tuf.RuleAttestationKey},
		{"no touch", claim(func(c *card.Claim) { c.Touch = touchNever }), nil, tuf.RuleAttestationPolicy},
		{"no touch, none demanded", claim(func(c *card.Claim) { c.Touch = touchNever }), func(d *attestation.Demand) { d.Touch = false }, ""},
		{"no PIN", claim(func(c *card.Claim) { c.PIN = pinNever }), nil, tuf.RuleAttestationPolicy},
		{"no PIN, none demanded", claim(func(c *card.Claim) { c.PIN = pinNever }), func(d *attestation.Demand) { d.PIN = false }, ""},
		{"old firmware", claim(func(c *card.Claim) { c.Firmware = card.Firmware{Major: 5, Minor: 4, Patch: 3} }),
			func(d *attestation.Demand) { d.MinFirmware = attestation.Version{Major: 5, Minor: 7} }, tuf.RuleAttestationFirmware},
		{"the least firmware", claim(func(c *card.Claim) { c.Firmware = card.Firmware{Major: 5, Minor: 7} }),
			func(d *attestation.Demand) { d.MinFirmware = attestation.Version{Major: 5, Minor: 7} }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := *b
			b.t, b.config.StateDir, b.anchor.Hardware = t, t.TempDir(), nil
			b.attested(good(), test.targets())
			b.trusts("1.0", "one") // without a demand
			b.demands(maker)
			if test.edit != nil {
				test.edit(b.anchor.Hardware)
			}
			if err := b.offline("1.0"); tuf.RuleOf(err) != test.rule {
				t.Errorf("offline: got %v, expected %q", err, test.rule)
			}
			b.config.StateDir = t.TempDir()
			if test.rule == "" {
				b.trusts("1.0", "one")
				return
			}
			b.refuses("1.0", test.rule)
			_, err := b.verify("1.0")
			for _, word := range []string{targetsKey.ID(), "targets", appName, "root version"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not name %q", err, word)
				}
			}
			// The other shapes of a question are no way around it.
			for _, image := range []tuf.Image{{Repository: appName, Digest: digestOf("one")}, {Repository: appName, Tag: "1.0", Digest: digestOf("one")}} {
				if _, err := b.client().Verify(t.Context(), image, Options{}); !errors.Is(err, test.rule) {
					t.Errorf("%s: %v", image, err)
				}
			}
			if _, err := b.client().View(t.Context(), appName, Options{}); !errors.Is(err, test.rule) {
				t.Errorf("view: %v", err)
			}
		})
	}
}

func TestHardwareOfAnExpiredMaker(t *testing.T) {
	b := newBench(t)
	maker := newMaker(t, card.SticksUntil(b.clock.Now().Add(time.Hour)))
	b.attested(attestBy(t, maker, b.repo.rootKeys[0].Key()), attestBy(t, maker, b.repo.targetsKeys[0].Key()))
	b.demands(maker)
	b.trusts("1.0", "one")
	b.clock.Add(2 * time.Hour)
	b.refuses("1.0", tuf.RuleAttestationExpired)
	if err := b.offline("1.0"); !errors.Is(err, tuf.RuleAttestationExpired) {
		t.Errorf("offline: %v", err)
	}
}

// TestAttestationThatEndsWhileFetching is TestExpiryWhileFetching of what vouches for a
// key.
func TestAttestationThatEndsWhileFetching(t *testing.T) {
	type verifier interface {
		Verify(ctx context.Context, image tuf.Image, options Options) (*Decision, error)
	}
	for name, with := range map[string]func(b *bench) verifier{
		"client":  func(b *bench) verifier { return b.client() },
		"watcher": func(b *bench) verifier { return b.watcher(WatchConfig{}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			maker := newMaker(t, card.SticksUntil(b.clock.Now().Add(30*time.Second)))
			b.attested(attestBy(t, maker, b.repo.rootKeys[0].Key()), attestBy(t, maker, b.repo.targetsKeys[0].Key()))
			b.demands(maker)
			b.server.setIntercept(func(_ responseWriter, r *request) bool {
				if strings.HasSuffix(r.URL.Path, "targets.json") {
					b.clock.Add(time.Minute)
				}
				return false
			})
			if d, err := with(b).Verify(t.Context(), b.tag("1.0"), Options{}); tuf.RuleOf(err) != tuf.RuleAttestationExpired || d.Trusted {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

// TestEveryKeyIsDemanded has a second root key, which alone need not sign.
func TestEveryKeyIsDemanded(t *testing.T) {
	b := newBench(t)
	maker, second := newMaker(t), newKey(t)
	chains := map[string][]string{
		b.repo.rootKeys[0].Key().ID():    attestBy(t, maker, b.repo.rootKeys[0].Key()),
		b.repo.targetsKeys[0].Key().ID(): attestBy(t, maker, b.repo.targetsKeys[0].Key()),
	}
	publish := func() {
		b.repo.nextRoot(func(md *tuf.Root) {
			b.repo.must(tuf.SetRoleKeys(md, tuf.RoleRoot, tuf.RoleKeys{Keys: publicKeys(b.repo.rootKeys[0], second), Threshold: 1}))
			tuf.SetAttestations(md, chains)
		})
	}
	publish()
	b.demands(maker)
	b.refuses("1.0", tuf.RuleNotAttested)
	chains[second.Key().ID()] = attestBy(t, maker, second.Key())
	publish()
	b.trusts("1.0", "one")
	b.anchor.Hardware.Roots = "" // Yubico's alone
	b.refuses("1.0", tuf.RuleAttestationChain)
}

// TestNewestRootIsDemanded moves a repository to hardware, away from it, and back.
func TestNewestRootIsDemanded(t *testing.T) {
	b := newBench(t)
	maker := newMaker(t)
	root, targets := attestBy(t, maker, b.repo.rootKeys[0].Key()), attestBy(t, maker, b.repo.targetsKeys[0].Key())
	b.demands(maker)
	b.refuses("1.0", tuf.RuleNotAttested)
	b.attested(root, targets) // root 2; root 1 stays as it is
	b.trusts("1.0", "one")
	b.attested(root, nil)
	b.refuses("1.0", tuf.RuleNotAttested)
	if err := b.offline("1.0"); !errors.Is(err, tuf.RuleNotAttested) {
		t.Errorf("offline, after the newest root was seen: %v", err)
	}
	b.attested(root, targets)
	b.trusts("1.0", "one")
	if err := b.offline("1.0"); err != nil {
		t.Error(err)
	}
}

// TestHardwareOfSigners extends the demand to delegated roles: to those on the way
// to an answer, and at every level.
func TestHardwareOfSigners(t *testing.T) {
	b := newBench(t)
	maker, ci, lead := newMaker(t), newKey(t), newKey(t)
	b.attested(attestBy(t, maker, b.repo.rootKeys[0].Key()), attestBy(t, maker, b.repo.targetsKeys[0].Key()))
	b.repo.delegate(tuf.RoleTargets, b.repo.targetsKeys, delegation{name: "ci", keys: []tuf.Signer{ci}, paths: []string{appName + ":ci-*"}})
	b.repo.delegate("ci", []tuf.Signer{ci}, delegation{name: "lead", keys: []tuf.Signer{lead}, paths: []string{appName + ":ci-lead-*"}})
	b.repo.signAs("ci", "ci-1", digestOf("ci"), ci)
	b.repo.signAs("lead", "ci-lead-1", digestOf("lead"), lead)
	b.demands(maker)
	b.trusts("ci-lead-1", "lead") // signers are not meant
	b.demands(maker, func(d *attestation.Demand) { d.Signers = true })
	refused := func(when, tag, word string) {
		t.Helper()
		b.refuses(tag, tuf.RuleNotAttested)
		if err := b.offline(tag); !errors.Is(err, tuf.RuleNotAttested) {
			t.Errorf("%s, offline: %v", when, err)
		}
		// What lists the tags of a digest goes on after some refusals, not after these.
		if _, err := b.client().Verify(t.Context(), tuf.Image{Repository: appName, Digest: digestOf(word)}, Options{}); !errors.Is(err, tuf.RuleNotAttested) {
			t.Errorf("%s, by digest: %v", when, err)
		}
	}
	b.trusts("1.0", "one") // by targets alone
	refused("nobody attested", "ci-1", "ci")
	attested := func(role string, signer tuf.Signer, keys ...*tuf.Key) {
		b.repo.edit(role, func(md *tuf.Targets) {
			chains := map[string][]string{}
			for _, key := range keys {
				chains[key.ID()] = attestBy(t, maker, key)
			}
			tuf.SetTargetsAttestations(md, chains)
		}, signer)
	}
	attested(tuf.RoleTargets, b.repo.targetsKeys[0], ci.Key())
	b.trusts("ci-1", "ci")
	refused("lead is not attested", "ci-lead-1", "lead")
	attested("ci", ci, lead.Key())
	b.trusts("ci-lead-1", "lead")
	if err := b.offline("ci-lead-1"); err != nil {
		t.Error(err)
	}
	attested(tuf.RoleTargets, b.repo.targetsKeys[0], lead.Key()) // not the one who counts here
	refused("ci's attestation is gone", "ci-1", "ci")
}

func TestFirstUseDemandsHardware(t *testing.T) {
	b := newBench(t)
	maker := newMaker(t)
	b.demands(maker)
	if _, err := b.client().FirstUse(t.Context(), appName, b.anchor); !errors.Is(err, tuf.RuleNotAttested) {
		t.Errorf("got %v, expected the first root to be refused", err)
	}
	b.attested(attestBy(t, maker, b.repo.rootKeys[0].Key()), attestBy(t, maker, b.repo.targetsKeys[0].Key()))
	anchor, err := b.client().FirstUse(t.Context(), appName, b.anchor)
	if err != nil || anchor.Hardware == nil || !anchor.Hardware.Touch {
		t.Fatalf("%+v, %v; expected the demand to stay in the anchor", anchor, err)
	}
	b.anchor = *anchor
	b.trusts("1.0", "one")
}

// TestHardwareInTrustFile writes a demand to trust.json and reads it again.
func TestHardwareInTrustFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trust.json")
	maker := newMaker(t)
	anchor := anchorFor("registry.example.com/team/*")
	anchor.Hardware = &attestation.Demand{MinFirmware: attestation.Version{Major: 5, Minor: 7}, Touch: true, Roots: string(maker.RootPEM())}
	if err := EditAnchors(path, func(Anchors) (Anchors, error) { return Anchors{anchor}, nil }); err != nil {
		t.Fatal(err)
	}
	anchors, err := LoadAnchors(path)
	if err != nil || len(anchors) != 1 || anchors[0].Hardware == nil || *anchors[0].Hardware != *anchor.Hardware {
		t.Errorf("%+v, %v; expected %+v", anchors, err, anchor.Hardware)
	}
	for name, hardware := range map[string]string{
		"an unknown member": `{"touchy":true}`, "a version that is none": `{"minFirmware":"new"}`, "roots that are none": `{"roots":"x"}`,
		"a number for a version": `{"minFirmware":5.7}`,
	} {
		file := `{"anchors":[{"pattern":"a.example/*","rootKeys":["` + digestHex(nil) + `"],"servers":["https://s.example"],"hardware":` + hardware + `}]}`
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadAnchors(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; expected it to be refused", name, err)
		}
	}
}

// TestPublisherIsToldOnceWhatHardwareLacks has targets expired, so that the publisher reads twice.
func TestPublisherIsToldOnceWhatHardwareLacks(t *testing.T) {
	b := newBench(t)
	b.demands(newMaker(t))
	b.clock.Add(200 * day)
	b.repo.release()
	p, _ := b.publisher()
	out, err := p.Renew(t.Context(), RenewRequest{Repository: appName, Roles: []string{tuf.RoleTargets}, Signers: b.repo.targetsKeys})
	if err != nil {
		t.Fatal(err)
	}
	if warnings := out.Change.Warnings; len(warnings) != 1 || !strings.Contains(warnings[0], "root version 1: key") {
		t.Errorf("%q", warnings)
	}
}

// TestPublisherIsToldWhatHardwareLacks lets a publisher mend what its own anchor
// refuses.
func TestPublisherIsToldWhatHardwareLacks(t *testing.T) {
	b := newBench(t)
	maker := newMaker(t)
	b.demands(maker)
	b.refuses("1.0", tuf.RuleNotAttested)
	p, changes := b.publisher()
	step := func(role string, signer tuf.Signer) []string {
		t.Helper()
		_, err := p.ChangeKeys(t.Context(), ChangeKeysRequest{Repository: appName, Role: role, Signers: []tuf.Signer{b.repo.rootKeys[0]},
			Attestations: map[string][]string{signer.Key().ID(): attestBy(t, maker, signer.Key())}})
		if err != nil {
			t.Fatal(err)
		}
		return (*changes)[len(*changes)-1].Warnings
	}
	warns := func(warnings []string, words ...string) {
		t.Helper()
		found := 0
		for _, w := range warnings {
			if strings.Contains(w, "demands hardware") {
				if found < len(words) && !strings.Contains(w, words[found]) {
					t.Errorf("%q does not say %q", w, words[found])
				}
				found++
			}
		}
		if found != len(words) {
			t.Errorf("%d warnings of hardware in %q, expected %q", found, warnings, words)
		}
	}
	warns(step(tuf.RoleRoot, b.repo.rootKeys[0]), "root version 1: key", "root version 2: key "+b.repo.targetsKeys[0].Key().ID())
	warns(step(tuf.RoleTargets, b.repo.targetsKeys[0]), "root version 2: key")
	b.trusts("1.0", "one")
	signed, err := p.Sign(t.Context(), SignRequest{Repository: appName, Tags: []TagTarget{{"2.0", target(digestOf("two"))}}, Signers: b.repo.targetsKeys})
	if err != nil {
		t.Fatal(err)
	}
	warns(signed.Change.Warnings)
	b.trusts("2.0", "two")

	// A signer whose key is in a file is told of once: what is there is what stays.
	b.demands(maker, func(d *attestation.Demand) { d.Signers = true })
	dev := newKey(t)
	p, changes = b.publisher()
	if _, err := p.AddSigner(t.Context(), AddSignerRequest{Repository: appName, Name: "dev", Tags: []string{"dev-*"},
		Keys: tuf.RoleKeys{Keys: publicKeys(dev)}, Signers: []tuf.Signer{b.repo.targetsKeys[0], dev}}); err != nil {
		t.Fatal(err)
	}
	warns((*changes)[0].Warnings, "dev: key "+dev.Key().ID())
	if signed, err = p.Sign(t.Context(), SignRequest{Repository: appName, Tags: []TagTarget{{"3.0", target(digestOf("three"))}}, Signers: b.repo.targetsKeys}); err != nil {
		t.Fatal(err)
	}
	warns(signed.Change.Warnings, "dev: key "+dev.Key().ID())
	b.trusts("3.0", "three")
	b.refuses("dev-1", tuf.RuleNotAttested)
}
