package tuf

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestNamesHaveTheFormsOfTheirPatterns holds what matches names by hand against the
// regular expressions of the specifications.
func TestNamesHaveTheFormsOfTheirPatterns(t *testing.T) {
	component := regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	tag := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	digest := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	host := regexp.MustCompile(`^(?:(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[([0-9a-f:.]+)\])(?::([1-9][0-9]{0,4}))?$`)
	isHostByPattern := func(s string) bool {
		m := host.FindStringSubmatch(s)
		if m == nil || (!strings.ContainsAny(s, ".:") && s != "localhost") {
			return false
		}
		if v6 := m[1]; v6 != "" {
			if addr, err := netip.ParseAddr(v6); err != nil || !addr.Is6() || addr.String() != v6 {
				return false
			}
		}
		if port := m[2]; port != "" {
			_, err := strconv.ParseUint(port, 10, 16)
			return err == nil
		}
		return true
	}
	for _, form := range []struct {
		name              string
		byHand, byPattern func(string) bool
		bytes             string   // what names are made of, mostly
		parts             []string // and what stands in them now and then
	}{
		{"component", isComponent, component.MatchString, "az09._-AZ/\n\x00é", []string{"__", "--", "app"}},
		{"tag", isTag, tag.MatchString, "az09AZ._-+/\n\x00é", []string{"1.0", "latest"}},
		{"digest", func(s string) bool { return CheckDigest(s) == nil }, digest.MatchString, "09afgAF:\n", []string{"sha256:", "sha512:", strings.Repeat("0a", 31), strings.Repeat("0a", 32), "sha256:" + strings.Repeat("0a", 32)}},
		{"host", isHost, isHostByPattern, "az09.-:[]%AZ\né", []string{"localhost", "[::1]", "[::ffff:1.2.3.4]", "[fe80::1%eth0]", "127.0.0.1", ":5000", ":65535", ":65536", ":05", ":0", "example.com"}},
	} {
		t.Run(form.name, func(t *testing.T) {
			yes := 0
			for _, s := range form.parts { // the forms that chance may not come upon
				if form.byHand(s) != form.byPattern(s) {
					t.Errorf("%q: by hand %v, by the pattern %v", s, form.byHand(s), form.byPattern(s))
				}
				if form.byPattern(s) {
					yes++
				}
			}
			rapid.Check(t, func(t *rapid.T) {
				pieces := rapid.SliceOfN(rapid.OneOf(rapid.StringOfN(rapid.RuneFrom([]rune(form.bytes)), 0, 2, -1), rapid.SampledFrom(form.parts)), 0, 4)
				s := strings.Join(pieces.Draw(t, "pieces"), "")
				if form.byHand(s) != form.byPattern(s) {
					t.Fatalf("%q: by hand %v, by the pattern %v", s, form.byHand(s), form.byPattern(s))
				}
			})
			if yes == 0 {
				t.Error("nothing that was tried is a name")
			}
		})
	}
}
