package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// Small alphabets, so that patterns meet names often.
var (
	somePart     = rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 1, 3, -1)
	someGlob     = rapid.StringOfN(rapid.SampledFrom([]rune("ab*?")), 1, 4, -1).Filter(func(s string) bool { return !strings.Contains(s, "**") })
	someTag      = rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 1, 3, -1)
	someRegistry = rapid.SampledFrom([]string{"r.example", "m.example"})
)

var someImage = rapid.Custom(func(t *rapid.T) tuf.Image {
	image := tuf.Image{Repository: someRegistry.Draw(t, "host") + "/" + strings.Join(rapid.SliceOfN(somePart, 1, 3).Draw(t, "parts"), "/")}
	shape := rapid.IntRange(0, 2).Draw(t, "shape")
	if shape != 1 {
		image.Tag = someTag.Draw(t, "tag")
	}
	if shape != 0 {
		image.Digest = rapid.SampledFrom([]string{digestOf("a"), digestOf("e")}).Draw(t, "digest")
	}
	return image
})

var somePattern = rapid.Custom(func(t *rapid.T) string {
	s := rapid.SampledFrom([]string{"r.example", "m.example", "?.example"}).Draw(t, "host") + "/" + strings.Join(rapid.SliceOfN(someGlob, 1, 3).Draw(t, "parts"), "/")
	if rapid.Bool().Draw(t, "below") {
		s += "/**"
	}
	if rapid.IntRange(0, 5).Draw(t, "all") == 0 {
		s = "**"
	}
	if rapid.IntRange(0, 2).Draw(t, "tagged") == 0 {
		s += ":" + someGlob.Draw(t, "tag")
	}
	return s
})

// TestPatternsAgree holds Fits to tuf.MatchName, and what lint believes of two
// patterns to what fits them.
func TestPatternsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, errA := ParsePattern(somePattern.Draw(t, "a"))
		b, errB := ParsePattern(somePattern.Draw(t, "b"))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		image := someImage.Draw(t, "image")
		if a.Fits(image) != (tuf.MatchName(a.Repository, image.Repository) && (a.Tag == "" || image.Tag != "" && glob(a.Tag, image.Tag))) {
			t.Fatalf("%s and %s", a, image)
		}
		if covers(a, b) && b.Fits(image) && !a.Fits(image) {
			t.Fatalf("%s is said to fit all that %s fits, but not %s", a, b, image)
		}
		if !overlaps(a, b) && a.Fits(image) && b.Fits(image) {
			t.Fatalf("%s and %s are said to fit nothing together, but do fit %s", a, b, image)
		}
		if !covers(a, a) || !overlaps(a, a) || !covers(Pattern{Repository: "**"}, a) || overlaps(a, b) != overlaps(b, a) {
			t.Fatalf("%s and %s", a, b)
		}
	})
}

// TestShadowedNeverDecides believes lint's word on rules that never decide.
func TestShadowedNeverDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := Read([]byte(somePolicy.Draw(t, "policy")), "p")
		if err != nil {
			t.Fatal(err)
		}
		match, err := p.Match(someImage.Draw(t, "image"))
		if err != nil || match == nil {
			return
		}
		for _, f := range p.Lint(noon) {
			if f.Line == match.Rule.Line && (f.Kind == FindingShadowed || f.Kind == FindingExcepted) && strings.HasPrefix(f.Text, "the rule ") {
				t.Fatalf("%s: %s, and yet it decided %s", f.Rule, f.Text, match.Image)
			}
		}
	})
}

// somePolicy is a policy of up to four rules and two exemptions.
var somePolicy = rapid.Custom(func(t *rapid.T) string {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	flag := func(name string) bool { return rapid.Bool().Draw(t, name) }
	patterns := func(name string, least int) string {
		return `["` + strings.Join(rapid.SliceOfN(somePattern, least, 3).Draw(t, name), `", "`) + `"]`
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		fmt.Fprintf(&b, "  - name: r%d\n    images: %s\n", i, patterns("images", 1))
		if flag("excepts") {
			fmt.Fprintf(&b, "    except: %s\n", patterns("except", 1))
		}
		if flag("anchored") {
			fmt.Fprintf(&b, "    anchors: [{pattern: r.example/**, servers: [https://s.example], root-keys: [%s]}]\n", keyA)
		}
		fmt.Fprintf(&b, "    current: %t\n    mode: %s\n    unreachable: %s\n", flag("current"),
			rapid.SampledFrom([]string{"enforce", "enforce", "warn", "audit"}).Draw(t, "mode"), rapid.SampledFrom([]string{"refuse", "last"}).Draw(t, "unreachable"))
		if flag("checked") {
			b.WriteString("    max-age: {checked: 1h, signed: 30d}\n")
		}
		if flag("platforms") {
			b.WriteString("    platforms: [linux/amd64]\n")
		}
		if flag("mirrors") {
			b.WriteString("    mirrors: [{from: m.example/**, as: r.example/**}]\n")
		}
	}
	if flag("exempt") {
		fmt.Fprintf(&b, "digests:\n  - {digest: \"%s\", images: %s, reason: it must, until: %s}\n", digestOf("e"), patterns("exempt", 1),
			rapid.SampledFrom([]string{"2026-11-28", "2026-12-24"}).Draw(t, "until"))
	}
	return b.String()
})

// whim answers anything: what it is made to say, whatever was asked.
type whim struct {
	t       *rapid.T
	held    bool               // it has to answer at once
	answers []*client.Decision // what it said
	errs    []error
}

func (w *whim) Verify(_ context.Context, image tuf.Image, options client.Options) (*client.Decision, error) {
	flag := func(name string) bool { return rapid.IntRange(0, 5).Draw(w.t, name) == 0 }
	if options.Held != w.held {
		w.t.Fatalf("held: %t, expected %t", options.Held, w.held)
	}
	d := trusted(image)
	change := map[string]func(){
		"untrusted":  func() { d.Trusted = false },
		"elsewhere":  func() { d.Repository = "r.example/zzz" },
		"digest":     func() { d.Digest = digestOf("c") },
		"no digest":  func() { d.Digest = "" },
		"old":        func() { d.Current = false },
		"unchecked":  func() { d.Checked = nil },
		"stale":      func() { d.Age = client.Duration(2 * time.Hour) },
		"unsigned":   func() { d.Signed = nil },
		"signed ago": func() { ago := noon.Add(-31 * 24 * time.Hour); d.Signed = &ago },
		"platforms":  func() { d.Platforms = []string{"linux/arm64"} },
		"expired":    func() { d.Expires = &noon },
	}
	for _, name := range []string{"untrusted", "elsewhere", "digest", "no digest", "old", "unchecked", "stale", "unsigned", "signed ago", "platforms", "expired"} {
		if flag(name) {
			change[name]()
		}
	}
	var err error
	switch rapid.IntRange(0, 9).Draw(w.t, "error") {
	case 0:
		err = &tuf.Refusal{Repository: image.Repository, Rule: tuf.RuleAbsent, Detail: "nothing is signed"}
	case 1:
		err = &tuf.ExpiredError{Repository: image.Repository, Role: "targets", Expired: noon, Now: noon}
	case 2, 3:
		err = errors.New("no answer in time")
	case 6:
		err = client.ErrNotHeld
	case 4:
		panic("a fault in the verifier")
	case 5:
		return nil, nil
	}
	w.answers, w.errs = append(w.answers, d), append(w.errs, err)
	return d, err
}

// TestNoWrongYes lets no image be allowed but for trust that holds by every demand of
// the rule which fits, or by a word of the policy that lets it pass, and says so. It
// judges by the text of the policy and the answers given, with code of its own.
func TestNoWrongYes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := somePolicy.Draw(t, "policy")
		p, err := Read([]byte(text), "p")
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		image := someImage.Draw(t, "image")
		w := &whim{t: t, held: rapid.Bool().Draw(t, "held")}
		anchors := trustAll()
		if rapid.Bool().Draw(t, "no anchors") {
			anchors = nil
		}
		e := New(Config{Policy: p, Verifier: w, Anchors: anchors, Now: func() time.Time { return noon }})
		d, err := e.Decide(t.Context(), Question{Image: image.String(), Held: w.held})
		if d == nil || d.Policy == nil || d.Policy.Allowed != (err == nil) {
			t.Fatalf("%+v, %v", d, err)
		}
		if !d.Trusted && (d.Reference != "" || d.Current || len(d.Signers)+len(d.Tags)+len(d.Voices) > 0) {
			t.Fatalf("an untrusted decision says %+v", d)
		}
		if w.held && len(w.answers) > 1 {
			t.Fatal("asked again, although an answer was due at once")
		}
		if !d.Policy.Allowed {
			if d.Trusted || d.Reason == "" {
				t.Fatalf("refused, and %+v", d)
			}
			return
		}
		if w.held && len(w.errs) > 0 && w.errs[0] != nil && !tuf.IsRefusal(w.errs[0]) {
			t.Fatalf("allowed at once, although it was not known: %v", w.errs[0])
		}
		rule := ruleText(text, d.Policy.Rule)
		says := func(s string) bool { return strings.Contains(rule, s) }
		switch {
		case d.Policy.Exempt != "":
			if d.Trusted || image.Digest != digestOf("e") || !strings.Contains(text, "until: 2026-12-24") {
				t.Fatalf("exempt: %s\n%s", image, text)
			}
		case rule == "":
			t.Fatalf("%s may run by no rule\n%s", image, text)
		case !d.Trusted:
			if says("mode: enforce") || !says("mode: "+string(d.Policy.Mode)) {
				t.Fatalf("%s is not trusted, and may run in mode %s\n%s", image, d.Policy.Mode, rule)
			}
		default:
			last := len(w.answers) - 1
			if last < 0 || w.errs[last] != nil {
				t.Fatalf("%s is trusted, and no answer said so: %v", image, w.errs)
			}
			said := w.answers[last]
			lacks := !said.Trusted || said.Digest == "" || image.Digest != "" && said.Digest != image.Digest ||
				strings.HasSuffix(said.Repository, "/zzz") && !strings.HasSuffix(image.Repository, "/zzz") || said.Expires.Equal(noon) ||
				says("current: true") && !said.Current ||
				says("max-age") && (said.Checked == nil || said.Age > client.Duration(time.Hour) || said.Signed == nil || noon.Sub(*said.Signed) > 30*24*time.Hour) ||
				says("platforms: [linux/amd64]") && said.Platforms[0] != "linux/amd64" ||
				len(w.answers) == 2 && !says("unreachable: last") ||
				!says("anchors:") && anchors == nil
			if lacks || d.Reference != image.Repository+"@"+said.Digest {
				t.Fatalf("%s is trusted by %+v\n%s", image, said, rule)
			}
		}
	})
}

// ruleText is the part of a policy's text that is about one rule.
func ruleText(text, name string) string {
	if name == "" {
		return ""
	}
	_, rest, _ := strings.Cut(text, "  - name: "+name+"\n")
	rest, _, _ = strings.Cut(rest, "  - name: ")
	rest, _, _ = strings.Cut(rest, "digests:")
	return rest
}
