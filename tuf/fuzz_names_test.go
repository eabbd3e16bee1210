package tuf

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// FuzzParseFileName checks that the name of a file has one reading, and one name for
// what is read: else one file could be asked for, and cached, under two names.
func FuzzParseFileName(f *testing.F) {
	for _, s := range []string{"timestamp.json", "1.root.json", "999999999999999999.targets.json", "01.root.json", "1.timestamp.json", "1.a.b.json", "1.Root.json", "+1.root.json"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		role, version, err := ParseFileName(in)
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				t.Fatalf("%q: %v; what is no name is not there", in, err)
			}
			return
		}
		if again := FileName(role, version); again != in {
			t.Fatalf("%q reads as %s %d, whose name is %q", in, role, version, again)
		}
		if strings.ContainsAny(role, "/\\.%\x00") || version < 0 {
			t.Fatalf("%q reads as %q %d", in, role, version)
		}
	})
}

// FuzzParsePath checks that a target path has one reading, and that the repository in
// it is the whole of what stands before the tag.
func FuzzParsePath(f *testing.F) {
	const digest = "@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	for _, s := range []string{"r.io/a:1", "r.io/a:1" + digest, "r.io:5000/a/b:1.0", "r.io/a", "r.io/a:1@sha256:00", "r.io/a:1:2", "R.io/a:1", "r.io//a:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		image, err := ParsePath(in)
		if err != nil {
			return
		}
		path := TagPath(image.Repository, image.Tag)
		if image.Digest != "" {
			path = RecordPath(image.Repository, image.Tag, image.Digest)
		}
		if path != in || CheckRepository(image.Repository) != nil || CheckTag(image.Tag) != nil {
			t.Fatalf("%q reads as %+v, which is %q", in, image, path)
		}
	})
}

// FuzzDelegatedTags checks the two paths that a signer's tag pattern is written as
// against a reading of patterns of its own: a signer reaches the tags that the pattern
// means, their records, and nothing else, least of all in another repository.
func FuzzDelegatedTags(f *testing.F) {
	const repository = "r.io/team/app"
	digest := "sha256:" + strings.Repeat("0a", 32)
	f.Add("ci-*", "ci-1", "r.io/team/app")
	f.Add("*0", "1.0", "r.io/team/ap")
	f.Add("*", "a", "r.io/team/app/more")
	f.Add("?a", "ba", "r.io/team/app")
	f.Fuzz(func(t *testing.T, pattern, tag, other string) {
		paths := []string{TagPath(repository, pattern), TagPath(repository, pattern) + recordPattern}
		for _, p := range paths {
			if checkTagPattern(repository, p, paths) != nil {
				return // no server takes it
			}
		}
		if CheckTag(tag) != nil || CheckRepository(other) != nil {
			return
		}
		role := metadata.DelegatedRole{Name: "ci", Paths: paths}
		for _, p := range []string{TagPath(other, tag), RecordPath(other, tag, digest)} {
			if got, want := Delegated(role, p), other == repository && glob(pattern, tag); got != want {
				t.Fatalf("pattern %q and path %q: %v, expected %v", pattern, p, got, want)
			}
		}
	})
}

// glob is a reading of tag patterns that shares nothing with path.Match.
func glob(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		for i := range len(s) + 1 {
			if glob(pattern[1:], s[i:]) {
				return true
			}
		}
		return false
	}
	return s != "" && (pattern[0] == '?' || pattern[0] == s[0]) && glob(pattern[1:], s[1:])
}

// FuzzOnlineKey checks that no answer of a server makes a key one that the signer
// vouched for: nobody here has the identity's private half.
func FuzzOnlineKey(f *testing.F) {
	public := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public()
	identity, err := NewKey(public)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"repository":"r.io/a","role":"snapshot","key":{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"}},"signature":"AAAA"}`))
	f.Add([]byte(`{"repository":"r.io/a","role":"snapshot","key":null,"signature":null}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var key OnlineKey
		if json.Unmarshal(in, &key) != nil {
			return
		}
		if key.Verify(identity, "r.io/a", RoleSnapshot) == nil {
			t.Fatalf("%s passes for a key of the signer", in)
		}
	})
}
