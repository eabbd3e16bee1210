package policy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

const appRule = "version: 1\nrules:\n  - name: app\n    images: [registry.example.com/team/**]\n"

// decide asks an engine of a policy one question, at noon.
func decide(t *testing.T, text string, v Verifier, image string) (*client.Decision, error) {
	t.Helper()
	e := New(Config{Policy: mustRead(t, text), Verifier: v, Anchors: trustAll(), Now: func() time.Time { return noon }})
	d, err := e.Decide(t.Context(), Question{Image: image})
	if d == nil || d.Policy == nil || d.Policy.Allowed != (err == nil) || d.Allowed() != (err == nil) {
		t.Fatalf("%+v, %v", d, err)
	}
	if !d.Trusted && (d.Reference != "" || d.Current || len(d.Signers) > 0 || d.Length != 0) {
		t.Errorf("an untrusted decision says %+v", d)
	}
	return d, err
}

// always answers as change makes of a trusted answer.
func always(change func(d *client.Decision)) verifier {
	return func(image tuf.Image, _ client.Options) (*client.Decision, error) {
		d := trusted(image)
		if change != nil {
			change(d)
		}
		return d, nil
	}
}

func TestDemands(t *testing.T) {
	old := func(d *client.Decision) { d.Current = false }
	unknown := func(d *client.Decision) { d.Checked, d.Signed, d.Platforms = nil, nil, nil }
	aged := func(checked, signed time.Duration) func(*client.Decision) {
		return func(d *client.Decision) {
			c, s := noon.Add(-checked), noon.Add(-signed)
			d.Checked, d.Age, d.Signed = &c, client.Duration(checked), &s
		}
	}
	for _, test := range []struct {
		name, rule string
		change     func(*client.Decision)
		want       tuf.Rule
	}{
		{"nothing", "", unknown, ""},
		{"current, and it is", "    current: true\n", nil, ""},
		{"current, and it is not", "    current: true\n", old, tuf.RuleCurrent},
		{"not demanded to be current", "    current: false\n", old, ""},
		{"confirmed just in time", "    max-age: {checked: 1h}\n", aged(time.Hour, 0), ""},
		{"confirmed too long ago", "    max-age: {checked: 1h}\n", aged(time.Hour+time.Second, 0), tuf.RuleAge},
		{"confirmed nobody knows when", "    max-age: {checked: 1h}\n", unknown, tuf.RuleAge},
		{"confirmed longer ago than the answer says", "    max-age: {checked: 1h}\n", func(d *client.Decision) {
			at := noon.Add(-2 * time.Hour)
			d.Checked, d.Age = &at, 0
		}, tuf.RuleAge},
		{"signed just in time", "    max-age: {signed: 90d}\n", aged(0, 90*24*time.Hour), ""},
		{"signed too long ago", "    max-age: {signed: 90d}\n", aged(0, 90*24*time.Hour+time.Second), tuf.RuleAge},
		{"signed by a clock that is ahead", "    max-age: {signed: 90d}\n", aged(0, -23*time.Hour), ""},
		{"signed for years to come", "    max-age: {signed: 90d}\n", aged(0, -25*time.Hour), tuf.RuleAge},
		{"signed nobody knows when", "    max-age: {signed: 90d}\n", unknown, tuf.RuleAge},
		{"a platform that it has", "    platforms: [linux/amd64]\n", nil, ""},
		{"all platforms that it has", "    platforms: [linux/amd64, linux/arm64/v8]\n", nil, ""},
		{"one platform that it lacks", "    platforms: [linux/amd64, linux/s390x]\n", nil, tuf.RulePlatform},
		{"platforms that nobody said", "    platforms: [linux/amd64]\n", unknown, tuf.RulePlatform},
		{"any variant of a platform", "    platforms: [linux/arm]\n", func(d *client.Decision) { d.Platforms = []string{"linux/arm/v7"} }, ""},
		{"another variant", "    platforms: [linux/arm/v6]\n", func(d *client.Decision) { d.Platforms = []string{"linux/arm/v7", "linux/arm"} }, tuf.RulePlatform},
		{"a platform's beginning", "    platforms: [linux/arm]\n", nil, tuf.RulePlatform},
		{"an answer that has run out", "", func(d *client.Decision) { d.Expires = &noon }, tuf.RuleExpired},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := decide(t, appRule+test.rule, always(test.change), "registry.example.com/team/app:1.0")
			if tuf.RuleOf(err) != test.want || (err == nil) != (test.want == "") || d.Rule != test.want {
				t.Errorf("%v, decision says %q; expected rule %q", err, d.Rule, test.want)
			}
			if d.Policy.Rule != "app" || d.Policy.Mode != client.ModeEnforce || d.Trusted != (err == nil) {
				t.Errorf("%+v", d.Policy)
			}
		})
	}
}

func TestPlatformOfTheAsker(t *testing.T) {
	e := New(Config{Policy: mustRead(t, appRule+"    platforms: [linux/amd64]\n"), Verifier: always(nil), Anchors: trustAll(), Now: func() time.Time { return noon }})
	for platform, want := range map[string]tuf.Rule{"": "", "linux/amd64": "", "linux/arm64/v8": "", "windows/amd64": tuf.RulePlatform} {
		if _, err := e.Decide(t.Context(), Question{Image: "registry.example.com/team/app", Platform: platform}); tuf.RuleOf(err) != want {
			t.Errorf("%s: %v", platform, err)
		}
	}
}

// TestNoRuleNoRun refuses every name that nothing fits, without asking anybody.
func TestNoRuleNoRun(t *testing.T) {
	never := verifier(func(image tuf.Image, _ client.Options) (*client.Decision, error) {
		t.Errorf("asked for %s", image)
		return trusted(image), nil
	})
	for _, image := range []string{"alpine", "registry.example.com/team", "registry.example.com/teams/app:1.0", "registry.example.com/other/app@" + digestOf("a")} {
		d, err := decide(t, appRule, never, image)
		if tuf.RuleOf(err) != tuf.RulePolicy || d.Policy.Rule != "" {
			t.Errorf("%s: %v", image, err)
		}
	}
	for _, image := range []string{"", "A", "registry.example.com/team/app:", "registry.example.com/team/app@sha256:1", "registry.example.com/team/\x1b[31m", strings.Repeat("a", 5000), "a b", "../../etc/passwd"} {
		d, err := decide(t, appRule+"    mode: audit\n", never, image)
		if tuf.RuleOf(err) != tuf.RuleName || len(d.Image) > 1000 || strings.ContainsRune(d.Image, '\x1b') {
			t.Errorf("%q: %v", image, err)
		}
	}
	for _, c := range []Config{{}, {Policy: mustRead(t, appRule)}, {Verifier: never}, {Policy: mustRead(t, "version: 1"), Verifier: never}} {
		if d, err := New(c).Decide(t.Context(), Question{Image: "registry.example.com/team/app"}); err == nil || d.Policy.Allowed {
			t.Errorf("%+v decides %+v", c, d)
		}
	}
}

func TestFirstRuleDecides(t *testing.T) {
	const text = `version: 1
rules:
  - name: releases
    images: ["registry.example.com/team/app:v*"]
    current: true
  - name: builds
    images: [registry.example.com/team/*]
    except: ["registry.example.com/team/app:nightly*", registry.example.com/team/scratch]
    mode: warn
  - name: hub
    images: [alpine, "docker.io/**:3.?"]
    mode: audit
`
	for image, want := range map[string]string{
		"registry.example.com/team/app:v1":                  "releases",
		"registry.example.com/team/app:v1@" + digestOf("a"): "releases",
		"registry.example.com/team/app@" + digestOf("a"):    "builds", // no tag, so no rule for tags
		"registry.example.com/team/app":                     "builds", // latest
		"registry.example.com/team/app:nightly-7":           "",
		"registry.example.com/team/scratch:v1":              "",
		"registry.example.com/team/a/b:v1":                  "",
		"alpine":                                            "hub",
		"index.docker.io/library/alpine@" + digestOf("a"):   "hub",
		"docker.io/team/app:3.1":                            "hub",
		"docker.io/team/app:3.10":                           "",
		"docker.io/team/app@" + digestOf("a"):               "",
	} {
		d, err := decide(t, text, always(nil), image)
		if d.Policy.Rule != want || (err == nil) != (want != "") {
			t.Errorf("%s: rule %q, expected %q (%v)", image, d.Policy.Rule, want, err)
		}
	}
}

// TestModes lets pass what a mode lets pass, and says so; what is not trusted stays
// untrusted.
func TestModes(t *testing.T) {
	trouble := verifier(func(image tuf.Image, _ client.Options) (*client.Decision, error) {
		return nil, &client.ServerError{Server: "https://s.example", Trouble: client.TroubleTimeout, Detail: "no answer in time"}
	})
	for name, v := range map[string]Verifier{"untrusted": distrust{}, "trouble": trouble, "a panic": verifier(func(tuf.Image, client.Options) (*client.Decision, error) { panic("oh") })} {
		for mode, warnings := range map[string]int{"enforce": 0, "warn": 1, "audit": 0} {
			d, err := decide(t, appRule+"    mode: "+mode+"\n", v, "registry.example.com/team/app:1.0")
			if (err != nil) != (mode == "enforce") || d.Trusted || d.Reason == "" || string(d.Policy.Mode) != mode || len(d.Policy.Warnings) != warnings {
				t.Errorf("%s, %s: %v, %+v", name, mode, err, d.Policy)
			}
			if mode == "enforce" && tuf.IsRefusal(err) != (name == "untrusted") {
				t.Errorf("%s: a verdict, or none: %v", name, err)
			}
		}
	}
}

func TestMirrors(t *testing.T) {
	const text = appRule + `    mirrors:
      - {from: mirror.local/special, as: registry.example.com/team/app}
      - {from: mirror.local/hub/**, as: docker.io/**}
      - {from: mirror.local/**, as: registry.example.com/**}
  - name: hub
    images: [alpine]
    mirrors: [{from: mirror.local/hub/**, as: docker.io/**}]
`
	for _, test := range []struct{ asked, real, rule string }{
		{"mirror.local/special:1.0", "registry.example.com/team/app:1.0", "app"},
		{"mirror.local/team/app:1.0", "registry.example.com/team/app:1.0", "app"},
		{"mirror.local/team/app@" + digestOf("b"), "registry.example.com/team/app@" + digestOf("b"), "app"},
		{"mirror.local/hub/library/alpine:3", "docker.io/library/alpine:3", "hub"},
		{"mirror.local/hub/alpine", "docker.io/library/alpine:latest", "hub"},
		{"mirror.local/other/app:1.0", "", ""},
		{"registry.example.com/team/app:1.0", "registry.example.com/team/app:1.0", "app"},
	} {
		d, err := decide(t, text, always(nil), test.asked)
		if test.rule == "" {
			if tuf.RuleOf(err) != tuf.RulePolicy {
				t.Errorf("%s: %v", test.asked, err)
			}
			continue
		}
		asked, _ := tuf.ParseImage(test.asked)
		if err != nil || d.Image != test.real || d.Policy.Rule != test.rule || d.Reference != asked.Repository+"@"+d.Digest {
			t.Errorf("%s: %v, %+v", test.asked, err, d)
		}
		if (d.Policy.Asked != "") != (d.Image != asked.String() && asked.Repository != d.Repository) {
			t.Errorf("%s: asked %q", test.asked, d.Policy.Asked)
		}
	}
	// A name that could be no mirror's real name is refused, and no later rule is taken.
	long := "mirror.local/" + strings.Repeat("a/", 118) + "a"
	if d, err := decide(t, text+"  - {name: all, images: [\"**\"], mode: audit}\n", always(nil), long); tuf.RuleOf(err) != tuf.RulePolicy || d.Policy.Rule != "" {
		t.Errorf("a name too long: %v", err)
	}
}

func TestExemptions(t *testing.T) {
	text := "version: 1\ndigests:\n  - digest: " + digestOf("e") + "\n    images: [docker.io/library/*, registry.example.com/team/old]\n    reason: the vendor does not sign\n    until: 2026-11-29\n" +
		strings.TrimPrefix(appRule, "version: 1\n") + "    mirrors: [{from: mirror.local/**, as: registry.example.com/team/**}]\n"
	for _, test := range []struct {
		image string
		now   time.Time
		ok    bool
	}{
		{"alpine@" + digestOf("e"), noon, true},
		{"alpine:3@" + digestOf("e"), noon, true},
		{"registry.example.com/team/old@" + digestOf("e"), noon, true},
		{"mirror.local/old@" + digestOf("e"), noon, true},
		{"alpine@" + digestOf("e"), noon.Add(12*time.Hour - time.Second), true},
		{"alpine@" + digestOf("e"), noon.Add(12 * time.Hour), false}, // the day has ended
		{"alpine@" + digestOf("f"), noon, false},
		{"alpine:3", noon, false},
		{"team/alpine@" + digestOf("e"), noon, false},
		{"registry.example.com/team/app@" + digestOf("e"), noon, false},
		{"mirror.local/new@" + digestOf("e"), noon, false},
	} {
		e := New(Config{Policy: mustRead(t, text), Verifier: distrust{}, Anchors: trustAll(), Now: func() time.Time { return test.now }})
		d, err := e.Decide(t.Context(), Question{Image: test.image})
		if (err == nil) != test.ok || d.Policy.Allowed != test.ok || d.Trusted || (d.Policy.Exempt != "") != test.ok {
			t.Errorf("%s at %s: %v, %+v", test.image, test.now, err, d.Policy)
		}
		if test.ok && (d.Policy.Until != "2026-11-30T00:00:00Z" || d.Digest != digestOf("e") || d.Reference != "" || len(d.Policy.Warnings) != 1) {
			t.Errorf("%s: %+v %+v", test.image, d, d.Policy)
		}
	}
}

// TestAnswersThatAreNone refuses what a broken verifier says.
func TestAnswersThatAreNone(t *testing.T) {
	image := "registry.example.com/team/app:1.0@" + digestOf("b")
	for name, v := range map[string]verifier{
		"nothing":            func(tuf.Image, client.Options) (*client.Decision, error) { return nil, nil },
		"no trust, no error": always(func(d *client.Decision) { d.Trusted = false }),
		"another repository": always(func(d *client.Decision) { d.Repository = "registry.example.com/team/other" }),
		"another tag":        always(func(d *client.Decision) { d.Tag = "2.0" }),
		"another digest":     always(func(d *client.Decision) { d.Digest = digestOf("c") }),
		"no digest":          always(func(d *client.Decision) { d.Digest = "" }),
		"a panic":            func(tuf.Image, client.Options) (*client.Decision, error) { panic("oh") },
	} {
		if d, err := decide(t, appRule, v, image); err == nil || tuf.IsRefusal(err) || d.Reason == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	both := verifier(func(image tuf.Image, _ client.Options) (*client.Decision, error) {
		return trusted(image), errors.New("and yet")
	})
	if d, err := decide(t, appRule, both, image); err == nil || d.Trusted || d.Digest != digestOf("b") {
		t.Errorf("trusted with an error: %v, %+v", err, d)
	}
}

// TestPanicInDeciding refuses where the fault is not the verifier's.
func TestPanicInDeciding(t *testing.T) {
	e := New(Config{Policy: mustRead(t, appRule+"    mode: audit\n"), Verifier: always(nil), Now: func() time.Time { panic("oh") }})
	d, err := e.Decide(t.Context(), Question{Image: "registry.example.com/team/app:1.0"})
	if err == nil || tuf.IsRefusal(err) || d == nil || d.Policy == nil || d.Policy.Allowed || d.Trusted {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestSharedAnswer leaves the verifier's own decision as it is.
func TestSharedAnswer(t *testing.T) {
	shared := trusted(tuf.Image{Repository: "registry.example.com/team/app", Tag: "1.0"})
	before := *shared
	v := verifier(func(tuf.Image, client.Options) (*client.Decision, error) { return shared, nil })
	for _, rule := range []string{"", "    max-age: {signed: 1h}\n"} {
		decide(t, appRule+rule, v, "registry.example.com/team/app:1.0")
	}
	if diff := cmp.Diff(&before, shared); diff != "" {
		t.Error(diff)
	}
}

func TestUnreachable(t *testing.T) {
	down := &client.ServerError{Server: "https://s.example", Trouble: client.TroubleNoRoute, Detail: "nobody listens there"}
	expired := &tuf.ExpiredError{Role: tuf.RoleTimestamp, Expired: noon.Add(-time.Hour), Now: noon}
	revoked := &tuf.Refusal{Rule: tuf.RuleAbsent, Detail: "revoked"}
	for _, test := range []struct {
		name, rule      string
		online, offline error
		asked           int
		ok, verdict     bool
	}{
		{"refuse, and nobody answers", "    unreachable: refuse\n", down, nil, 1, false, false},
		{"by default, too", "", down, nil, 1, false, false},
		{"last, and it holds", "    unreachable: last\n", down, nil, 2, true, false},
		{"last, and it has expired", "    unreachable: last\n", down, expired, 2, false, false},
		{"last, and it was a refusal", "    unreachable: last\n", down, revoked, 2, false, true},
		{"last, and there is none", "    unreachable: last\n", down, client.ErrNoServer, 2, false, false},
		{"a refusal is no trouble", "    unreachable: last\n", revoked, nil, 1, false, true},
		{"an expiry is no trouble", "    unreachable: last\n", expired, nil, 1, false, true},
		{"an answer", "    unreachable: last\n", nil, revoked, 1, true, false},
		{"last, and older than demanded", "    unreachable: last\n    max-age: {checked: 30s}\n", down, nil, 2, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			v := verifier(func(image tuf.Image, options client.Options) (*client.Decision, error) {
				asked++
				if options.Anchor == nil || options.Anchor.MaxStale != 0 {
					t.Errorf("the last verdict would hold after its expiry: %+v", options.Anchor)
				}
				err := test.online
				if options.Offline {
					err = test.offline
				}
				d := trusted(image)
				d.Offline = options.Offline
				return d, err
			})
			d, err := decide(t, appRule+test.rule, v, "registry.example.com/team/app:1.0")
			if (err == nil) != test.ok || tuf.IsRefusal(err) != test.verdict || asked != test.asked {
				t.Errorf("%v, asked %d times", err, asked)
			}
			if test.ok && test.asked == 2 && (!d.Offline || len(d.Policy.Warnings) != 1 || !strings.Contains(d.Policy.Warnings[0], "nobody listens there")) {
				t.Errorf("%+v", d.Policy)
			}
			if !test.ok && !test.verdict && !errors.Is(err, down) {
				t.Errorf("%v does not say who is down", err)
			}
		})
	}
}

// TestHeld takes an answer out of memory where it is a verdict, in any mode; what else
// comes leaves the question to be asked, once and to the end.
func TestHeld(t *testing.T) {
	absent := &tuf.Refusal{Rule: tuf.RuleAbsent, Detail: "nothing is signed"}
	for _, mode := range []string{"enforce", "warn", "audit"} {
		for name, test := range map[string]struct {
			says error
			held bool
		}{
			"trusted": {nil, true}, "refused": {absent, true}, "expired": {&tuf.ExpiredError{}, true},
			"not held": {client.ErrNotHeld, false}, "trouble": {client.ErrNoServer, false},
		} {
			asked := 0
			v := verifier(func(image tuf.Image, options client.Options) (*client.Decision, error) {
				if asked++; !options.Held || options.Offline {
					t.Errorf("asked with %+v", options)
				}
				return trusted(image), test.says
			})
			e := New(Config{Policy: mustRead(t, appRule+"    unreachable: last\n    mode: "+mode+"\n"), Verifier: v, Anchors: trustAll(), Now: func() time.Time { return noon }})
			d, err := e.Decide(t.Context(), Question{Image: "registry.example.com/team/app:1.0", Held: true})
			if errors.Is(err, client.ErrNotHeld) == test.held || !test.held && tuf.IsRefusal(err) || asked != 1 {
				t.Errorf("%s, %s: %v, asked %d times", mode, name, err, asked)
			}
			allowed := test.held && (test.says == nil || mode != "enforce")
			if d.Policy.Allowed != allowed || (err == nil) != allowed || d.Trusted != (test.says == nil) {
				t.Errorf("%s, %s: %+v, %+v", mode, name, d, d.Policy)
			}
		}
	}
}

// TestTimeForTheLastVerdict leaves time to ask again where the first question takes
// all that it may.
func TestTimeForTheLastVerdict(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	all, _ := ctx.Deadline()
	v := timed{all: all}
	e := New(Config{Policy: mustRead(t, appRule+"    unreachable: last\n"), Verifier: v, Anchors: trustAll(), Now: func() time.Time { return noon }})
	if _, err := e.Decide(ctx, Question{Image: "registry.example.com/team/app:1.0"}); err != nil {
		t.Error(err)
	}
}

// timed runs out of the time that it is given to ask a server, and then needs some.
type timed struct{ all time.Time }

func (v timed) Verify(ctx context.Context, image tuf.Image, options client.Options) (*client.Decision, error) {
	deadline, _ := ctx.Deadline()
	switch left := v.all.Sub(deadline); {
	case !options.Offline && left > 10*time.Minute:
		return nil, context.DeadlineExceeded
	case options.Offline && left == 0:
		return trusted(image), nil
	}
	return nil, errors.New("no time is left")
}

// TestAnchors hands each rule's anchor to the verifier, with its signers.
func TestAnchors(t *testing.T) {
	digit := func(d string) string { return strings.Repeat(d, 64) }
	const text = `version: 1
rules:
  - name: own
    images: [registry.example.com/own/*]
    anchors:
      - {pattern: registry.example.com/own/a, servers: [https://a.example], root-keys: [1111111111111111111111111111111111111111111111111111111111111111]}
      - {pattern: registry.example.com/own/b, servers: [https://b.example], root-keys: [2222222222222222222222222222222222222222222222222222222222222222]}
    signers: [{name: qa, keys: [3333333333333333333333333333333333333333333333333333333333333333, 4444444444444444444444444444444444444444444444444444444444444444]}]
  - name: machine
    images: [registry.example.com/**]
    signers: [{name: qa, keys: [3333333333333333333333333333333333333333333333333333333333333333, 4444444444444444444444444444444444444444444444444444444444444444]}]
`
	anchors := client.Anchors{
		{Pattern: "registry.example.com/plain/*", RootKeys: []string{digit("a")}, Servers: []string{"https://m.example"}},
		{Pattern: "registry.example.com/voice/*", RootKeys: []string{digit("a")}, Servers: []string{"https://m.example"},
			Require: []client.Voice{{Name: "security", Keys: []string{digit("5")}}, {Name: "qa", Keys: []string{digit("4"), digit("6")}}}},
		{Pattern: "registry.example.com/clash/*", RootKeys: []string{digit("a")}, Servers: []string{"https://m.example"},
			Require: []client.Voice{{Name: "qa", Keys: []string{digit("7")}}}},
	}
	var got *client.Anchor
	v := verifier(func(image tuf.Image, options client.Options) (*client.Decision, error) {
		got = options.Anchor
		return trusted(image), nil
	})
	e := New(Config{Policy: mustRead(t, text), Verifier: v, Anchors: anchors, Now: func() time.Time { return noon }})
	qa := client.Voice{Name: "qa", Keys: []string{digit("3"), digit("4")}}
	for _, test := range []struct {
		image   string
		key     string // of the anchor, or "" for refused
		require []client.Voice
		rule    tuf.Rule
	}{
		{"registry.example.com/own/a", digit("1"), []client.Voice{qa}, ""},
		{"registry.example.com/own/b", digit("2"), []client.Voice{qa}, ""},
		{"registry.example.com/own/c", "", nil, tuf.RuleAnchor}, // the machine's are not asked
		{"registry.example.com/plain/x", digit("a"), []client.Voice{qa}, ""},
		{"registry.example.com/voice/x", digit("a"), []client.Voice{{Name: "security", Keys: []string{digit("5")}}, {Name: "qa", Keys: []string{digit("4")}}}, ""},
		{"registry.example.com/clash/x", "", nil, ""},
		{"registry.example.com/none/x", "", nil, tuf.RuleAnchor},
	} {
		got = nil
		d, err := e.Decide(t.Context(), Question{Image: test.image + ":1.0"})
		switch {
		case test.key == "":
			if err == nil || got != nil || tuf.RuleOf(err) != test.rule {
				t.Errorf("%s: %v, %+v", test.image, err, d)
			}
		case err != nil || got.RootKeys[0] != test.key:
			t.Errorf("%s: %v, %+v", test.image, err, got)
		default:
			if diff := cmp.Diff(test.require, got.Require); diff != "" {
				t.Errorf("%s: %s", test.image, diff)
			}
			again := got
			if _, err := e.Decide(t.Context(), Question{Image: test.image + ":2.0"}); err != nil || got != again {
				t.Errorf("%s: a verifier that keeps answers by anchor would keep one for each question", test.image)
			}
		}
	}
	if diff := cmp.Diff([]client.Voice{{Name: "security", Keys: []string{digit("5")}}, {Name: "qa", Keys: []string{digit("4"), digit("6")}}}, anchors[1].Require); diff != "" {
		t.Errorf("the machine's anchors were changed: %s", diff)
	}
}

// TestOfflineByWish keeps an anchor's max-stale where somebody asked for an answer
// from local state.
func TestOfflineByWish(t *testing.T) {
	for _, c := range []Config{{Offline: true}, {From: "folder"}} {
		c.Policy, c.Anchors, c.Now = mustRead(t, appRule+"    unreachable: last\n"), trustAll(), func() time.Time { return noon }
		c.Verifier = verifier(func(image tuf.Image, options client.Options) (*client.Decision, error) {
			if options.Offline != c.Offline || options.From != c.From || options.Anchor.MaxStale == 0 {
				t.Errorf("%+v", options)
			}
			return nil, errors.New("nothing there")
		})
		if _, err := New(c).Decide(t.Context(), Question{Image: "registry.example.com/team/app:1.0"}); err == nil {
			t.Error("allowed")
		}
	}
}
