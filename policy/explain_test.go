package policy

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/signet-trust/signet/tuf"
)

func TestExplain(t *testing.T) {
	const text = `version: 1
rules:
  - name: releases
    images: ["registry.example.com/team/app:v*"]
  - name: builds
    images: [registry.example.com/team/*]
    except: [registry.example.com/team/scratch]
    mirrors: [{from: mirror.local/**, as: registry.example.com/team/**}]
    current: true
    platforms: [linux/amd64, linux/arm64]
    mode: warn
  - name: rest
    images: ["**"]
`
	for image, want := range map[string][]string{
		"registry.example.com/team/app:v1":                  {"fits, by registry.example.com/team/app:v*", "is not asked, since releases decides", "is not asked, since releases decides"},
		"registry.example.com/team/app:1":                   {"other tags", "fits, by registry.example.com/team/*", "since builds decides"},
		"mirror.local/app:1":                                {"no pattern is for this name", "as registry.example.com/team/app:1, which the mirror mirror.local/** stands for", "since builds"},
		"mirror.local/scratch:1":                            {"no pattern", "as registry.example.com/team/scratch:1: the exception registry.example.com/team/scratch, in line 7", "fits, by **"},
		"docker.io/library/alpine:3":                        {"no pattern", "no pattern", "fits, by **"},
		"mirror.local/" + strings.Repeat("a/", 118) + "a:1": {"no pattern", "cannot be held against it", "since builds"},
	} {
		parsed, err := tuf.ParseImage(image)
		if err != nil {
			t.Fatal(err)
		}
		for i, step := range mustRead(t, text).Explain(parsed) {
			if !strings.Contains(step.Why, want[i]) || step.Line == 0 {
				t.Errorf("%s, rule %s: %q, expected %q", image, step.Rule, step.Why, want[i])
			}
			if step.Decides && step.Rule == "builds" && len(step.Demands) != 0 && !slices.Contains(step.Demands, "it is signed as an image for linux/amd64 and linux/arm64") {
				t.Errorf("%s: %q", image, step.Demands)
			}
		}
	}
}

// TestExplainAgrees names the rule that decides.
func TestExplainAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := Read([]byte(somePolicy.Draw(t, "policy")), "p")
		if err != nil {
			t.Fatal(err)
		}
		image := someImage.Draw(t, "image")
		match, err := p.Match(image)
		if err != nil {
			return
		}
		want, got := "", ""
		if match != nil {
			want = match.Rule.Name
		}
		for _, step := range p.Explain(image) {
			if step.Decides {
				got = step.Rule
			}
		}
		if got != want {
			t.Fatalf("%s: %q decides, but %q is told", image, want, got)
		}
	})
}
