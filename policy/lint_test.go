package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLint(t *testing.T) {
	rules := func(lines ...string) string {
		return "version: 1\nrules:\n  " + strings.Join(lines, "\n  ") + "\n"
	}
	anchor := "anchors: [{pattern: %s, servers: [https://s.example], root-keys: [" + keyA + "]}]"
	exemption := func(until string) string {
		return "version: 1\ndigests:\n  - {digest: " + digestOf("e") + ", images: [alpine], reason: b, until: " + until + "}\nrules: [{name: a, images: [alpine]}]\n"
	}
	for _, test := range []struct {
		name, text string
		want       []string // LINE SEVERITY KIND RULE
	}{
		{"all is well", rules("- {name: a, images: [a.example/x]}", "- {name: b, images: [a.example/*]}", "- {name: c, images: [\"**\"]}"), nil},
		{"no rules", "version: 1\n", []string{"1 warning no-rules "}},
		{"shadowed by everything", rules("- {name: a, images: [\"**\"]}", "- {name: b, images: [alpine]}"), []string{"4 error shadowed b"}},
		{"one pattern of two", rules("- {name: a, images: [a.example/**]}", "- name: b", "  images:", "    - a.example/x/y", "    - b.example/x"), []string{"6 error shadowed b"}},
		{"by two rules", rules("- {name: a, images: [a.example/**]}", "- {name: b, images: [b.example/**]}", "- {name: c, images: [a.example/x, b.example/y]}"),
			[]string{"5 error shadowed c"}},
		{"not where the earlier excepts", rules("- {name: a, images: [a.example/**], except: [a.example/x/*]}", "- {name: b, images: [a.example/x/**]}"), nil},
		{"nor where it excepts something else", rules("- {name: a, images: [a.example/**], except: [a.example/y]}", "- {name: b, images: [a.example/x/**]}"),
			[]string{"4 error shadowed b"}},
		{"a tag before all tags", rules("- {name: a, images: [\"alpine:3*\"]}", "- {name: b, images: [alpine]}"), nil},
		{"all tags before a tag", rules("- {name: a, images: [alpine]}", "- {name: b, images: [\"alpine:3*\"]}"), []string{"4 error shadowed b"}},
		{"any tag does not fit none", rules("- {name: a, images: [\"alpine:*\"]}", "- {name: b, images: [alpine]}"), nil},
		{"shadowed but for a mirror", rules("- {name: a, images: [a.example/**]}", "- {name: b, images: [a.example/x], mirrors: [{from: m.example/x, as: a.example/x}]}"), []string{"4 error shadowed b"}},
		{"the earlier has a mirror", rules("- {name: a, images: [\"**\"], mirrors: [{from: m.example/**, as: a.example/**}]}", "- {name: b, images: [m.example/x]}"), nil},
		{"twice in one rule", rules("- name: a", "  images:", "    - a.example/**", "    - a.example/x"), []string{"6 warning shadowed a"}},
		{"excepted in whole", rules("- {name: a, images: [a.example/x], except: [a.example/*]}"), []string{"3 error excepted a"}},
		{"excepted in part", rules("- {name: a, images: [a.example/x, b.example/x], except: [a.example/*]}"), []string{"3 error excepted a"}},
		{"an exception of nothing", rules("- {name: a, images: [a.example/x], except: [a.example/y]}"), []string{"3 warning idle a"}},
		{"no anchor of its own", rules("- {name: a, images: [a.example/x], " + fmt.Sprintf(anchor, "b.example/**") + "}"), []string{"3 error no-anchor a"}},
		{"an anchor of its own", rules("- {name: a, images: [a.example/x], " + fmt.Sprintf(anchor, "a.example/*") + "}"), nil},
		{"a mirror to nowhere", rules("- {name: a, images: [a.example/x], mirrors: [{from: m.example/x, as: b.example/x}]}"), []string{"3 error idle a"}},
		{"a mirror behind another", rules("- {name: a, images: [a.example/**], mirrors: [{from: m.example/**, as: a.example/**}, {from: m.example/x, as: a.example/y}]}"), []string{"3 error shadowed a"}},
		{"a mode", rules("- {name: a, images: [alpine], mode: warn}"), []string{"3 info mode a"}},
		{"a mode by tag", rules("- {name: a, images: [\"alpine:dev-*\"], mode: audit}"), []string{"3 info mode a", "3 warning tag a"}},
		{"the last verdict", rules("- {name: a, images: [alpine], unreachable: last}"), []string{"3 info unreachable a"}},
		{"an exemption that has ended", exemption("2026-11-28"), []string{"3 warning ended "}},
		{"one that ends today", exemption("2026-11-29"), []string{"3 warning ends-soon "}},
		{"one that ends in two weeks", exemption("2026-12-12"), []string{"3 warning ends-soon "}},
		{"one that ends in a month", exemption("2026-12-29"), nil},
		{"one that lasts", exemption("2028-01-01"), []string{"3 warning long "}},
		{"break-glass and namespaces", "version: 1\nrules: [{name: a, images: [alpine]}]\nkubernetes:\n  exempt-namespaces: [kube-system]\n  break-glass: {annotation: a.example/b, namespaces: [ops]}\n",
			[]string{"4 info exempt ", "5 warning break-glass "}},
		{"rewriting behind all", "version: 1\nrules: [{name: a, images: [alpine]}]\nkubernetes:\n  rewrite:\n    - {pin: true}\n    - {kinds: [Pod], pin: false}\n", []string{"6 error shadowed "}},
		{"rewriting of less", "version: 1\nrules: [{name: a, images: [alpine]}]\nkubernetes:\n  rewrite:\n    - {kinds: [Pod], namespaces: [\"team-*\"], pin: true}\n    - {kinds: [Pod, Job], namespaces: [team-a], pin: false}\n", nil},
		{"rewriting that pins nothing", "version: 1\nrules: [{name: a, images: [alpine]}]\nkubernetes:\n  rewrite:\n    - {pin: false}\n", []string{"5 info not-pinned "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, f := range mustRead(t, test.text).Lint(noon) {
				got = append(got, fmt.Sprintf("%d %s %s %s", f.Line, f.Severity, f.Kind, f.Rule))
				if f.Text == "" {
					t.Errorf("%+v says nothing", f)
				}
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLintOfTheFullFile has no mistake in the file that shows every key.
func TestLintOfTheFullFile(t *testing.T) {
	p, err := Load(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Lint(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)) {
		if f.Severity == SeverityError {
			t.Errorf("%+v", f)
		}
	}
}
