package tuf_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

func TestPlatformsOfATarget(t *testing.T) {
	var many []string
	for i := range tuf.MaxPlatforms + 1 {
		many = append(many, fmt.Sprintf("linux/a%02d", i))
	}
	for _, test := range []struct {
		claim     string
		platforms []string
		rule      tuf.Rule
	}{
		{"none", nil, ""},
		{"one", []string{"linux/amd64"}, ""},
		{"with a variant", []string{"linux/amd64", "linux/arm/v7", "linux/arm64/v8"}, ""},
		{"as many as may be", many[1:], ""},
		{"too many", many, tuf.RuleLimit},
		{"not sorted", []string{"linux/arm64", "linux/amd64"}, tuf.RuleShape},
		{"one twice", []string{"linux/amd64", "linux/amd64"}, tuf.RuleShape},
		{"an OS alone", []string{"linux"}, tuf.RuleShape},
		{"upper case", []string{"linux/AMD64"}, tuf.RuleShape},
		{"four parts", []string{"linux/arm/v7/x"}, tuf.RuleShape},
		{"a line end", []string{"linux/amd64\n"}, tuf.RuleShape},
		{"empty", []string{""}, tuf.RuleShape},
	} {
		t.Run(test.claim, func(t *testing.T) {
			one := target("one")
			one.Platforms = test.platforms
			md := tuf.NewTargets(1, time.Time{})
			if err := tuf.SetTarget(md, repository, "1.0", one); tuf.RuleOf(err) != test.rule {
				t.Fatalf("%v, expected %q", err, test.rule)
			}
			if test.rule == "" {
				if diff := cmp.Diff(one, tuf.Entries(md)[0].Target); diff != "" {
					t.Error(diff)
				}
			}
			// What somebody else wrote is not read, and not taken at a publish.
			w := team(t)
			file := w.newTargets(func(md *tuf.Targets) {
				w.must(tuf.SetTarget(md, repository, "1.0", target("one")))
				raw, err := json.Marshal(map[string]any{"mediaType": one.MediaType, "platforms": test.platforms})
				w.must(err)
				if test.platforms != nil {
					md.Signed.Targets[tuf.TagPath(repository, "1.0")].Custom = (*json.RawMessage)(&raw)
				}
			})
			md, err := tuf.ReadTargets(file.Bytes)
			w.must(err)
			entry := tuf.Entries(md)[slices.IndexFunc(tuf.Entries(md), func(e tuf.Entry) bool { return e.Path == tuf.TagPath(repository, "1.0") })]
			if got := entry.Target; got.MediaType != one.MediaType || test.rule != "" && got.Platforms != nil || test.rule == "" && !slices.Equal(got.Platforms, test.platforms) {
				t.Errorf("read as %+v", got)
			}
			if _, _, err = tuf.CheckPublish(repository, &w.state, []tuf.File{file}, tuf.PublishRules{Now: now}); tuf.RuleOf(err) != test.rule {
				t.Errorf("published: %v, expected %q", err, test.rule)
			}
		})
	}
}

func TestPlatformsAreAChange(t *testing.T) {
	build := func(platforms ...string) *tuf.Targets {
		md := tuf.NewTargets(1, time.Time{})
		one := target("one")
		one.Platforms = platforms
		if err := tuf.SetTarget(md, repository, "1.0", one); err != nil {
			t.Fatal(err)
		}
		return md
	}
	if changes := tuf.Diff(build(), build("linux/amd64")); len(changes) != 2 {
		t.Errorf("%+v", changes)
	}
	if changes := tuf.Diff(build("linux/amd64"), build("linux/amd64")); len(changes) != 0 {
		t.Errorf("%+v", changes)
	}
}
