package server_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

// Policies as attestations write them.
const (
	pinOnce, pinAlways            = 2, 3
	never, touchAlways, touchThen = 1, 2, 3
)

// A maker plays Yubico for these tests.
type maker struct {
	*card.Maker
	t *testing.T
}

func newMaker(t *testing.T, options ...card.MakerOption) maker {
	t.Helper()
	m, err := card.NewMaker(options...)
	if err != nil {
		t.Fatal(err)
	}
	return maker{m, t}
}

// chain attests key as a stick with firmware 5.7.1 would, but for what edit says.
func (m maker) chain(key *tuf.Key, edit ...func(*card.Claim)) []string {
	m.t.Helper()
	claim := card.Claim{Key: key.Public(), Slot: 0x9c, Serial: 12345678, Firmware: card.Firmware{Major: 5, Minor: 7, Patch: 1}, PIN: pinAlways, Touch: touchAlways, FormFactor: 1}
	for _, e := range edit {
		e(&claim)
	}
	leaf, stick, err := m.Attest(claim)
	if err != nil {
		m.t.Fatal(err)
	}
	var chain []string
	for _, cert := range []*x509.Certificate{leaf, stick} {
		chain = append(chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
	}
	return chain
}

// demanding starts a server with the demand for every repository of the team.
func demanding(t *testing.T, d *attestation.Demand) *harness.Harness {
	return harness.Start(t, func(c *harness.Config) {
		c.Server.Rules = []server.Rule{{Pattern: "registry.example/team/*", Hardware: d}}
	})
}

// attest has the publisher's next root carry attestations of its keys.
func attest(t *testing.T, p *harness.Publisher, m maker, edit ...func(*card.Claim)) tuf.File {
	t.Helper()
	tuf.SetAttestations(p.Root, map[string][]string{
		p.RootKey.Key().ID():    m.chain(p.RootKey.Key()),
		p.TargetsKey.Key().ID(): m.chain(p.TargetsKey.Key(), edit...),
	})
	return p.SignRoot(t)
}

func TestHardwareIsDemanded(t *testing.T) {
	m, other := newMaker(t), newMaker(t)
	expired := newMaker(t, card.SticksUntil(time.Now().AddDate(-1, 0, 0)))
	roots := string(m.RootPEM()) + string(expired.RootPEM())
	h := demanding(t, &attestation.Demand{MinFirmware: attestation.Version{Major: 5, Minor: 4}, Touch: true, PIN: true, Roots: roots})
	one := func(edit func(*card.Claim)) func(*testing.T, *harness.Publisher) map[string][]string {
		return func(_ *testing.T, p *harness.Publisher) map[string][]string {
			return map[string][]string{p.RootKey.Key().ID(): m.chain(p.RootKey.Key()), p.TargetsKey.Key().ID(): m.chain(p.TargetsKey.Key(), edit)}
		}
	}
	by := func(of maker) func(*testing.T, *harness.Publisher) map[string][]string {
		return func(_ *testing.T, p *harness.Publisher) map[string][]string {
			return map[string][]string{p.RootKey.Key().ID(): m.chain(p.RootKey.Key()), p.TargetsKey.Key().ID(): of.chain(p.TargetsKey.Key())}
		}
	}
	for i, c := range []struct {
		name  string
		proof func(*testing.T, *harness.Publisher) map[string][]string
		rule  tuf.Rule
	}{
		{"no attestations", func(*testing.T, *harness.Publisher) map[string][]string { return nil }, tuf.RuleNotAttested},
		{"one that leads to another root", by(other), tuf.RuleAttestationChain},
		{"one that has expired", by(expired), tuf.RuleAttestationExpired},
		{"one of another key", one(func(c *card.Claim) { c.Key = harness.NewKey(t).Key().Public() }), tuf.RuleAttestationKey},
		{"no touch", one(func(c *card.Claim) { c.Touch = never }), tuf.RuleAttestationPolicy},
		{"no PIN", one(func(c *card.Claim) { c.PIN = never }), tuf.RuleAttestationPolicy},
		{"old firmware", one(func(c *card.Claim) { c.Firmware = card.Firmware{Major: 5, Minor: 2, Patch: 7} }), tuf.RuleAttestationFirmware},
		{"all that is demanded", one(func(c *card.Claim) { c.PIN, c.Touch = pinOnce, touchThen }), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := h.Publisher(t, fmt.Sprintf("registry.example/team/app%d", i))
			p.First(t)
			tuf.SetAttestations(p.Root, c.proof(t, p))
			_, err := p.Client.Publish(t.Context(), p.Repository, p.SignRoot(t), p.SignTargets(t))
			if c.rule == "" {
				if err != nil {
					t.Fatal(err)
				}
				verify(t, h, p.Repository)
				return
			}
			if !errors.Is(err, c.rule) || !errors.Is(err, api.ErrRefused) {
				t.Fatalf("got %v, expected a refusal by rule %s", err, c.rule)
			}
			problem, _ := errors.AsType[*api.ProblemError](err)
			key := p.TargetsKey.Key().ID()
			if c.rule == tuf.RuleNotAttested {
				key = p.RootKey.Key().ID()
			}
			if problem.Role != tuf.RoleRoot || problem.Clause == "" || !strings.Contains(problem.Detail, key) {
				t.Errorf("the refusal names not role, key and clause: %+v", problem)
			}
			if _, err := h.Store.Head(t.Context(), p.Repository); !errors.Is(err, tuf.ErrNotFound) {
				t.Errorf("the repository exists: %v", err)
			}
		})
	}
	other2 := h.Publisher(t, "registry.example/other/app")
	other2.Init(t) // no rule for this name
}

// A rotation to a key in a file is refused, and the old root goes on.
func TestHardwareOfANewRoot(t *testing.T) {
	m := newMaker(t)
	h := demanding(t, &attestation.Demand{Roots: string(m.RootPEM())})
	p := h.Publisher(t, app)
	p.First(t)
	if _, err := p.Client.Publish(t.Context(), app, attest(t, p, m), p.SignTargets(t)); err != nil {
		t.Fatal(err)
	}
	old, next := p.RootKey, harness.NewKey(t)
	if err := tuf.SetRoleKeys(p.Root, tuf.RoleRoot, tuf.RoleKeys{Keys: []*tuf.Key{next.Key()}}); err != nil {
		t.Fatal(err)
	}
	p.Root.Signed.Version = 2
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t, next)); !errors.Is(err, tuf.RuleNotAttested) {
		t.Fatalf("got %v, expected rule %s", err, tuf.RuleNotAttested)
	}
	p.Publish(t)
	p.RootKey = next
	attest(t, p, m)
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t, old)); err != nil {
		t.Fatal(err)
	}
}

// A rule that is new is no outage: what was there before goes on, is told to the
// operator, and is mended by the next root.
func TestHardwareOfAnOldRepository(t *testing.T) {
	m := newMaker(t)
	var rules []server.Rule
	var log bytes.Buffer
	database := "sqlite:" + t.TempDir() + "/signet.db"
	signer := t.TempDir()
	start := func(t *testing.T) *harness.Harness {
		return harness.Start(t, func(c *harness.Config) {
			c.Database, c.Signer.Dir, c.Server.Rules = database, signer, rules
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
	}
	var p *harness.Publisher
	t.Run("before", func(t *testing.T) {
		p = start(t).Publisher(t, app)
		p.Init(t)
		if _, err := p.Client.Publish(t.Context(), app, append(delegateTo(t, p, harness.NewKey(t)), p.Next(t))...); err != nil {
			t.Fatal(err)
		}
	})
	rules = []server.Rule{{Pattern: "registry.example/**", Hardware: &attestation.Demand{Touch: true, Signers: true, Roots: string(m.RootPEM())}}}
	log.Reset()
	h := start(t)
	p.Client = h.Client(h.AdminToken)
	unmet := func(want string) {
		t.Helper()
		if a := get(t, http.DefaultClient, h.HealthURL+"/metrics"); !bytes.Contains(a.Body, []byte("signet_hardware_unmet "+want+"\n")) {
			t.Errorf("metrics do not say %s", want)
		}
	}
	h.Server.Audit(t.Context())
	h.Server.Audit(t.Context()) // is no news
	if text := log.String(); strings.Count(text, "do not meet the demand for hardware") != 1 || !strings.Contains(text, app) || !strings.Contains(text, string(tuf.RuleNotAttested)) {
		t.Errorf("the log says\n%s", text)
	}
	unmet("1")
	p.Tag(t, "1.0", harness.Digest("one"))
	p.Publish(t)
	h.Clock.Advance(13 * time.Hour)
	if n := h.Server.RefreshDue(t.Context()); n != 1 {
		t.Fatalf("refreshed %d", n)
	}
	verify(t, h, app)
	unmet("1")
	p.Root.Signed.Version = 2
	if _, err := p.Client.Publish(t.Context(), app, p.SignRoot(t)); !errors.Is(err, tuf.RuleNotAttested) {
		t.Fatalf("a new root without attestations: %v", err)
	}
	if _, err := p.Client.Publish(t.Context(), app, attest(t, p, m)); err != nil {
		t.Fatal(err)
	}
	unmet("1") // alice's key is left
	p.Targets.Signed.Delegations = nil
	p.Publish(t)
	unmet("0")
}

// delegateTo has the publisher's next targets delegate to alice, and returns her
// first file.
func delegateTo(t *testing.T, p *harness.Publisher, alice tuf.Signer) []tuf.File {
	t.Helper()
	text, err := json.Marshal(alice.Key())
	if err != nil {
		t.Fatal(err)
	}
	var key metadata.Key
	if err := json.Unmarshal(text, &key); err != nil {
		t.Fatal(err)
	}
	id := alice.Key().ID()
	p.Targets.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{id: &key}, Roles: []metadata.DelegatedRole{
		{Name: "alice", KeyIDs: []string{id}, Threshold: 1, Paths: []string{p.Repository + ":*", p.Repository + ":*@sha256:*"}},
	}}
	hers := *p
	hers.TargetsKey, hers.Targets = alice, tuf.NewTargets(1, p.Now().AddDate(0, 0, 90).UTC().Truncate(time.Second))
	first := hers.SignTargets(t)
	first.Role = "alice"
	return []tuf.File{first}
}

// Signers' keys are demanded where the rule says so, and only of what changes.
func TestHardwareOfSigners(t *testing.T) {
	m := newMaker(t)
	h := demanding(t, &attestation.Demand{Touch: true, Signers: true, Roots: string(m.RootPEM())})
	p := h.Publisher(t, app)
	p.First(t)
	if _, err := p.Client.Publish(t.Context(), app, attest(t, p, m), p.SignTargets(t)); err != nil {
		t.Fatal(err)
	}
	alice := harness.NewKey(t)
	delegate := func(t *testing.T, chain []string) error {
		t.Helper()
		files := delegateTo(t, p, alice)
		tuf.SetTargetsAttestations(p.Targets, map[string][]string{alice.Key().ID(): chain})
		_, err := p.Client.Publish(t.Context(), app, append(files, p.Next(t))...)
		if err != nil {
			p.Targets.Signed.Version--
		}
		return err
	}
	touchless := m.chain(alice.Key(), func(c *card.Claim) { c.Touch = never })
	for rule, chain := range map[tuf.Rule][]string{tuf.RuleNotAttested: nil, tuf.RuleAttestationPolicy: touchless} {
		err := delegate(t, chain)
		if problem, ok := errors.AsType[*api.ProblemError](err); !errors.Is(err, rule) || !ok || problem.Role != "alice" || !strings.Contains(problem.Detail, alice.Key().ID()) {
			t.Errorf("got %v, expected rule %s of alice", err, rule)
		}
	}
	if err := delegate(t, m.chain(alice.Key())); err != nil {
		t.Fatal(err)
	}
	p.Publish(t) // changes nothing of alice
	// What proved the key before cannot be taken away again.
	tuf.SetTargetsAttestations(p.Targets, nil)
	if _, err := p.Client.Publish(t.Context(), app, p.Next(t)); !errors.Is(err, tuf.RuleNotAttested) {
		t.Errorf("without alice's attestation: %v", err)
	}
}
