package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/client/registry"
	"github.com/signet-trust/signet/cmd/internal/policies"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// A loader keeps the gate's policy current: it looks for another policy, or other
// trust anchors, and has the gate use them, or else keeps those from before. A signed
// policy that its signers took back, or whose metadata has expired, is not kept: then
// there is none, and everything is refused.
type loader struct {
	from     string // a path, or oci://NAME:TAG
	trust    string // path of trust.json, "" for none
	source   func(client.Anchors) policies.Source
	verifier policy.Verifier
	gate     *guard.Gate
	log      *slog.Logger

	rules atomic.Pointer[policy.Kubernetes]
	until atomic.Pointer[time.Time] // when the word that current is trusted expires; nil: a file's never does

	mu      sync.Mutex
	current *policy.Policy // in use
	anchors client.Anchors
	failing bool
	dropped bool // the one from before was taken away, and none came since
}

// newLoader returns a loader of what two options name.
func newLoader(from, trust, state, registryCA string, verifier policy.Verifier, gate *guard.Gate, log *slog.Logger) (*loader, error) {
	images := registry.Config{UserAgent: "signet-guard", Timeout: 30 * time.Second}
	if registryCA != "" {
		var err error
		if images.CA, err = os.ReadFile(registryCA); err != nil {
			return nil, fmt.Errorf("the registry's CA: %w", err)
		}
	}
	source := func(anchors client.Anchors) policies.Source {
		// What expired does not count here: never longer means never longer.
		anchors = slices.Clone(anchors)
		for i := range anchors {
			anchors[i].MaxStale = 0
		}
		return policies.Source{
			Verifier: client.New(client.Config{StateDir: state, Anchors: anchors, UserAgent: "signet-guard"}),
			Registry: images, Cache: filepath.Join(state, "policy"),
		}
	}
	return &loader{from: from, trust: trust, source: source, verifier: verifier, gate: gate, log: log}, nil
}

// isArtifact tells whether the policy comes out of a registry.
func isArtifact(from string) bool { return strings.HasPrefix(from, policies.Scheme) }

// kubernetes returns what the policy in use says of Kubernetes.
func (l *loader) kubernetes() *policy.Kubernetes {
	if rules := l.rules.Load(); rules != nil && !l.expired() {
		return rules
	}
	return &policy.Kubernetes{}
}

// look looks for a newer policy. It returns an error while there is none at all; a
// newer one that cannot be used is told to the gate.
func (l *loader) look(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.load(ctx)
	switch {
	case err == nil:
		l.failing, l.dropped = false, false
		return nil
	case l.current == nil || ctx.Err() != nil:
		if ctx.Err() == nil && !(l.dropped && tuf.IsRefusal(err)) { // of which the gate says already why
			l.gate.Lack(err)
		}
		return err
	}
	l.failing = true
	if gone := l.gone(ctx); gone != nil && ctx.Err() == nil {
		l.rules.Store(nil)
		l.gate.Drop(gone)
		l.current, l.dropped = nil, true
		l.until.Store(nil)
		return gone
	}
	l.gate.Keep(err)
	return nil
}

// gone says why the policy in use may not be kept while no newer one can be had, or
// nil. A file is its keeper's own word. A signed one holds as long as what was last
// verified says that something is signed under its name: not once its signers took
// that back, nor once their word has expired.
func (l *loader) gone(ctx context.Context) error {
	reference, isArtifact := strings.CutPrefix(l.from, policies.Scheme)
	if !isArtifact {
		return nil
	}
	image, err := tuf.ParseImage(reference)
	if err != nil {
		return err
	}
	anchors, err := loadAnchors(l.trust)
	if err != nil {
		anchors = l.anchors // a broken file takes nothing away
	}
	decision, err := l.source(anchors).Verifier.Verify(ctx, image, client.Options{Offline: true})
	switch {
	case err == nil:
		l.holdUntil(decision)
		return nil
	case tuf.IsRefusal(err), l.expired():
		return fmt.Errorf("the policy %s that was in use is not trusted any more: %w", l.current.Name, err)
	}
	return nil
}

// holdUntil notes when the word on a signed policy expires; of a file there is none.
func (l *loader) holdUntil(d *client.Decision) {
	switch {
	case d == nil:
		l.until.Store(nil)
	case d.Expires == nil:
		l.until.Store(&time.Time{}) // one that never does is none
	default:
		l.until.Store(d.Expires)
	}
}

func (l *loader) expired() bool {
	until := l.until.Load()
	return until != nil && !time.Now().Before(*until)
}

// inForce decides by a policy that a loader has in use, until the word on it expires:
// also while the loader waits for a server.
type inForce struct {
	guard.Decider
	loader *loader
}

// Decide refuses what it is asked after that.
func (p inForce) Decide(ctx context.Context, q policy.Question) (*client.Decision, error) {
	if p.loader.expired() {
		return nil, errors.New("could not find out: the word of those who signed the gate's policy has expired")
	}
	return p.Decider.Decide(ctx, q)
}

func (l *loader) load(ctx context.Context) error {
	anchors, err := loadAnchors(l.trust)
	if err != nil {
		return err
	}
	loaded, err := l.get(ctx, anchors)
	if err != nil {
		return err
	}
	p := loaded.Policy
	l.holdUntil(loaded.Decision)
	if !l.failing && reflect.DeepEqual(p, l.current) && reflect.DeepEqual(anchors, l.anchors) {
		return nil
	}
	for _, finding := range p.Lint(time.Now()) {
		level := slog.LevelWarn
		if finding.Severity == policy.SeverityInfo {
			level = slog.LevelInfo
		}
		l.log.Log(ctx, level, "the policy has a finding", "severity", finding.Severity, "line", finding.Line, "rule", finding.Rule, "finding", finding.Text)
	}
	if rules := trustless(p, anchors); len(rules) > 0 {
		l.log.Warn("rules of the policy trust nobody, and refuse all that fits them: give them anchors, or the gate those of a machine (--trust; signet trust add makes them)", "rules", rules)
	}
	l.rules.Store(p.Kubernetes())
	l.gate.Use(inForce{policy.New(policy.Config{Policy: p, Verifier: l.verifier, Anchors: anchors}), l}, p.Name)
	l.current, l.anchors = p, anchors
	return nil
}

// trustless names the rules that no anchor goes with.
func trustless(p *policy.Policy, anchors client.Anchors) []string {
	var names []string
	for _, rule := range p.Rules {
		if len(rule.Anchors)+len(anchors) == 0 {
			names = append(names, rule.Name)
		}
	}
	return names
}

// get reads the policy. That of an artifact is trusted by the machine's anchors alone:
// no policy says who may make policies. While no server answers, its last verdict
// holds until its metadata expires.
func (l *loader) get(ctx context.Context, anchors client.Anchors) (*policies.Loaded, error) {
	source := l.source(anchors)
	loaded, err := source.Load(ctx, l.from)
	if err != nil && isArtifact(l.from) && !tuf.IsRefusal(err) && ctx.Err() == nil {
		source.Offline = true
		if held, heldErr := source.Load(ctx, l.from); heldErr == nil {
			return held, nil
		}
	}
	return loaded, err
}

// loadAnchors reads trust.json. One that was named has to be there: without it, rules
// would refuse what they trusted yesterday.
func loadAnchors(path string) (client.Anchors, error) {
	if path == "" {
		return nil, nil
	}
	if _, err := os.Stat(path); err != nil {
		return nil, trustError{fmt.Errorf("trust: %w", err)}
	}
	anchors, err := client.LoadAnchors(path)
	if err != nil {
		return nil, trustError{fmt.Errorf("trust: %w", err)}
	}
	return anchors, nil
}

// A trustError is what is wrong with trust.json.
type trustError struct{ error }

// Unwrap returns it.
func (e trustError) Unwrap() error { return e.error }

// advisePolicy names the options that give the policy, and what to do where it cannot be
// had.
func advisePolicy(from, trust string, err error) error {
	file, broken := errors.AsType[*policy.FileError](err)
	name := strings.TrimPrefix(from, policies.Scheme)
	_, noTrust := errors.AsType[trustError](err)
	switch {
	case noTrust:
		return program.Advise(fmt.Errorf("--%w", err), "look at %s, the file of --trust; signet trust add --config-dir FOLDER writes one", trust)
	case broken && !isArtifact(from):
		return program.Advise(fmt.Errorf("--policy: %w", err), "signet policy check %s tells all that is wrong with it", from)
	case broken && !strings.Contains(file.File, "@"): // no digest: what stands in the option
		return program.Advise(fmt.Errorf("--policy: %w", err), "name an artifact as oci://NAME:TAG")
	case broken:
		return program.Advise(err, "mend the policy, then signet policy push FILE %[1]s, and signet sign %[1]s; it is then taken up by itself", name)
	case !isArtifact(from):
		return program.Advise(fmt.Errorf("--policy: %w", err), "look at the name of the file, at the folder that this runs in, and whether it may be read")
	case errors.Is(err, tuf.RuleAnchor):
		return program.Advise(err, "--trust names nobody who may sign it: signet trust add with the policy's repository adds them; or correct --policy; it is then taken up by itself")
	case tuf.IsRefusal(err):
		return program.Advise(err, "have it signed by those whom --trust names, signet sign %s; it is then taken up by itself", name)
	}
	return program.Advise(err, "look whether its registry and its trust server answer from here; it is looked for again by itself, and at once at SIGHUP")
}

// While there is no policy, and everything is refused, it is looked for after soonest,
// and then after twice as long each time, up to latest: nobody is asked, and nothing
// logged, more often.
const (
	soonest = 2 * time.Second
	latest  = 30 * time.Second
)

// run looks again and again until ctx ends. It calls first once there is a policy.
func (l *loader) run(ctx context.Context, every time.Duration, hangup <-chan struct{}, first func()) {
	lacking := soonest
	for {
		err := l.look(ctx)
		wait := every
		if err == nil && first != nil {
			first()
			first = nil
		}
		if err == nil {
			lacking = soonest
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			wait = min(lacking, every)
			advised := advisePolicy(l.from, l.trust, err)
			l.log.Error("there is no policy: everything is refused", "policy", l.from, "error", err, "hint", program.Hint("signet-guard", advised), "again_in", wait)
			lacking = min(2*lacking, latest)
		} else if until := l.until.Load(); until != nil {
			wait = max(min(every, time.Until(*until)), time.Second)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-hangup:
			timer.Stop()
			lacking = soonest
		case <-timer.C:
		}
	}
}
