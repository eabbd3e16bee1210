package tuf_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/signet-trust/signet/tuf"
)

const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestParseImage(t *testing.T) {
	for _, c := range []struct {
		in   string
		want tuf.Image
	}{
		{"alpine", tuf.Image{Repository: "docker.io/library/alpine"}},
		{"alpine:3.20", tuf.Image{Repository: "docker.io/library/alpine", Tag: "3.20"}},
		{"bitnami/redis:7", tuf.Image{Repository: "docker.io/bitnami/redis", Tag: "7"}},
		{"docker.io/alpine", tuf.Image{Repository: "docker.io/library/alpine"}},
		{"index.docker.io/alpine:1", tuf.Image{Repository: "docker.io/library/alpine", Tag: "1"}},
		{"index.docker.io/library/alpine:1", tuf.Image{Repository: "docker.io/library/alpine", Tag: "1"}},
		{"registry-1.docker.io/library/alpine", tuf.Image{Repository: "docker.io/library/alpine"}},
		{"Docker.IO/library/alpine", tuf.Image{Repository: "docker.io/library/alpine"}},
		{"REGISTRY.example.com/team/app:V1", tuf.Image{Repository: "registry.example.com/team/app", Tag: "V1"}},
		{"localhost/app:1", tuf.Image{Repository: "localhost/app", Tag: "1"}},
		{"localhost:5000/team/app:1.0", tuf.Image{Repository: "localhost:5000/team/app", Tag: "1.0"}},
		{"localhost:5000/app@" + digest, tuf.Image{Repository: "localhost:5000/app", Digest: digest}},
		{"localhost:5000/app:1@" + digest, tuf.Image{Repository: "localhost:5000/app", Tag: "1", Digest: digest}},
		{"127.0.0.1:5000/app", tuf.Image{Repository: "127.0.0.1:5000/app"}},
		{"[::1]:5000/team/app:1", tuf.Image{Repository: "[::1]:5000/team/app", Tag: "1"}},
		{"[2001:DB8::1]/app", tuf.Image{Repository: "[2001:db8::1]/app"}},
		{"myhost:5000/a", tuf.Image{Repository: "myhost:5000/a"}},
		{"team/app", tuf.Image{Repository: "docker.io/team/app"}},
		{"localhost", tuf.Image{Repository: "docker.io/library/localhost"}},
		{"localhost:5000", tuf.Image{Repository: "docker.io/library/localhost", Tag: "5000"}}, // as docker reads it
		{"r.io/a/b/c/d__e/f.g/h-i--j:_x", tuf.Image{Repository: "r.io/a/b/c/d__e/f.g/h-i--j", Tag: "_x"}},
		{"r.io/app:" + strings.Repeat("t", 128), tuf.Image{Repository: "r.io/app", Tag: strings.Repeat("t", 128)}},
		{"xn--mnchen-3ya.example/app", tuf.Image{Repository: "xn--mnchen-3ya.example/app"}},
	} {
		got, err := tuf.ParseImage(c.in)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.in, got, err)
		}
		again, err := tuf.ParseImage(got.String())
		if err != nil || again != got {
			t.Errorf("%s: the canonical form %s reads as %+v, %v", c.in, got, again, err)
		}
	}
}

func TestParseImageRefuses(t *testing.T) {
	for claim, in := range map[string]string{
		"empty":                      "",
		"only a tag":                 ":1",
		"only a digest":              "@" + digest,
		"empty tag":                  "alpine:",
		"empty digest":               "alpine@",
		"tag with a dot in front":    "alpine:.1",
		"tag with a dash in front":   "alpine:-1",
		"tag of 129":                 "alpine:" + strings.Repeat("t", 129),
		"tag with a slash":           "r.io/a:b/c",
		"two tags":                   "r.io/a:b:c",
		"tag behind the digest":      "alpine@" + digest + ":1",
		"two digests":                "alpine@" + digest + "@" + digest,
		"short digest":               "alpine@sha256:abcd",
		"digest in capitals":         "alpine@" + strings.ToUpper(digest),
		"sha512 digest":              "alpine@sha512:" + strings.Repeat("a", 128),
		"capitals in the path":       "r.io/Team/app",
		"capitals in a short name":   "Alpine",
		"leading slash":              "/r.io/app",
		"trailing slash":             "r.io/app/",
		"double slash":               "r.io//app",
		"dot dot":                    "r.io/../app",
		"dot":                        "r.io/./app",
		"component ends in a dash":   "r.io/app-",
		"component starts with _":    "r.io/_app",
		"three underscores":          "r.io/a___b",
		"two dots":                   "r.io/a..b",
		"dot and dash":               "r.io/a.-b",
		"space":                      "r.io/a b",
		"space in front":             " r.io/app",
		"line end behind":            "r.io/app\n",
		"line end behind the tag":    "r.io/app:1\n",
		"NUL":                        "r.io/a\x00b",
		"percent":                    "r.io/a%2fb",
		"question mark":              "r.io/app?x",
		"hash":                       "r.io/app#x",
		"backslash":                  `r.io\app`,
		"scheme":                     "https://r.io/app",
		"user":                       "user@r.io/app",
		"umlaut":                     "r.io/äpp",
		"Cyrillic a":                 "r.io/\u0430pp",
		"Cyrillic a in the host":     "ex\u0430mple.com/app",
		"Kelvin sign in the host":    "\u212a.example/app",
		"full-width digit":           "r.io/app:\uff11",
		"zero-width space":           "r.io/app\u200b",
		"invalid UTF-8":              "r.io/\xff",
		"wildcard":                   "r.io/*",
		"component in .json":         "r.io/root.json",
		"component in .json within":  "r.io/1.root.json/app",
		"component in .json tagged":  "r.io/a.json:1",
		"port 0":                     "r.io:0/app",
		"port 65536":                 "r.io:65536/app",
		"port with a zero in front":  "r.io:0080/app",
		"no port":                    "r.io:/app",
		"port of letters":            "r.io:http/app",
		"host ends in a dot":         "r.io./app",
		"host with an empty label":   "r..io/app",
		"host label ends in a dash":  "r-.io/app",
		"IPv6 not in shortest form":  "[0:0:0:0:0:0:0:1]:5000/app",
		"IPv6 that is none":          "[:::]/app",
		"IPv6 with a zone":           "[fe80::1%25eth0]/app",
		"IPv6 without brackets":      "::1/app",
		"IPv4 in brackets":           "[127.0.0.1]/app",
		"bracket left open":          "[::1/app",
		"256 characters":             "r.io/" + strings.Repeat("a", 251),
		"host alone with a path end": "r.io/",
	} {
		got, err := tuf.ParseImage(in)
		if err == nil {
			t.Errorf("%s: %q is read as %+v", claim, in, got)
			continue
		}
		wantRule(t, err, tuf.RuleName)
	}
	if _, err := tuf.ParseImage("r.io/" + strings.Repeat("a", 250)); err != nil {
		t.Errorf("255 characters: %v", err)
	}
}

// TestNameRefusalsNameTheirClauseOnce looks at what a person reads: a refusal that wraps
// another's must not say the same twice.
func TestNameRefusalsNameTheirClauseOnce(t *testing.T) {
	for _, in := range []string{"UPPER/x::", "r.io/a@sha256:abcd", "r.io/A"} {
		_, err := tuf.ParseImage(in)
		if err == nil || strings.Count(err.Error(), "OCI distribution spec") != 1 {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// A server takes canonical names only: each repository has one.
func TestCheckRepositoryTakesOneFormOnly(t *testing.T) {
	for _, name := range []string{"alpine", "docker.io/alpine", "index.docker.io/library/alpine", "registry-1.docker.io/library/alpine", "R.io/app", "r.io/app:1",
		"r.io/app@" + digest, "team/app", "library/alpine", "r.io", "localhost", "[::0001]/app"} {
		if err := tuf.CheckRepository(name); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for _, name := range []string{"docker.io/library/alpine", "docker.io/team/app", "localhost/app", "localhost:5000/app", "r.io/a", "r.io:443/a", "[::1]:5000/a", "10.0.0.1/a", "r.io/v2/tuf", "r.io/json"} {
		if err := tuf.CheckRepository(name); err != nil {
			t.Error(err)
		}
		if again, err := tuf.ParseRepository(name); err != nil || again != name {
			t.Errorf("%s reads as %s, %v", name, again, err)
		}
	}
}

func TestParsePathRefuses(t *testing.T) {
	for _, p := range []string{"", "alpine:1", "r.io/app", "r.io/app@" + digest, "docker.io/alpine:1", "index.docker.io/library/alpine:1", "R.io/app:1",
		"r.io/app:1@sha256:00", "r.io/app:1@" + digest + "x", "r.io/app:*", "r.io/app:1 ", "/r.io/app:1", "r.io/app:1@" + digest + "@" + digest} {
		image, err := tuf.ParsePath(p)
		if err == nil {
			t.Errorf("%q is read as %+v", p, image)
			continue
		}
		wantRule(t, err, tuf.RulePath)
	}
}

// names generates canonical repository names.
func names() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		host := rapid.StringMatching(`([a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?\.){1,2}[a-z]{2,5}(:[1-9][0-9]{0,3})?`).Draw(t, "host")
		rest := rapid.StringMatching(`[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5})?(/[a-z0-9]{1,8}){0,3}`).Draw(t, "path")
		return host + "/" + rest
	})
}

func TestPathsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		repository := names().Draw(t, "repository")
		tag := rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`).Draw(t, "tag")
		hex := rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "hex")
		if tuf.CheckRepository(repository) != nil {
			t.Skip() // docker.io's own forms, .json
		}
		for p, want := range map[string]tuf.Image{
			tuf.TagPath(repository, tag):                   {Repository: repository, Tag: tag},
			tuf.RecordPath(repository, tag, "sha256:"+hex): {Repository: repository, Tag: tag, Digest: "sha256:" + hex},
		} {
			got, err := tuf.ParsePath(p)
			if err != nil || got != want || got.String() != p {
				t.Fatalf("%s reads as %+v, %v", p, got, err)
			}
		}
		if !tuf.MatchName(repository, repository) || !tuf.MatchName("**", repository) {
			t.Fatalf("%s does not match itself", repository)
		}
		if tuf.CheckPattern(repository) != nil {
			t.Fatalf("%s is no pattern", repository)
		}
	})
}

func TestMatchName(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"r.io/team/app", "r.io/team/app", true},
		{"r.io/team/app", "r.io/team/apps", false},
		{"r.io/team/app", "r.io/team/app/x", false},
		{"r.io/team/app", "r.io/team", false},
		{"r.io/team/*", "r.io/team/app", true},
		{"r.io/team/*", "r.io/team/app/x", false},
		{"r.io/team/*", "r.io/team", false},
		{"r.io/team/*", "r.io/teams/app", false},
		{"r.io/*/app", "r.io/team/app", true},
		{"r.io/*/app", "r.io/a/b/app", false},
		{"r.io/team-?/app", "r.io/team-1/app", true},
		{"r.io/team-?/app", "r.io/team-12/app", false},
		{"r.io/**", "r.io/team/app", true},
		{"r.io/**", "r.io/app", true},
		{"r.io/**", "r.io.evil.com/app", false},
		{"r.io/**", "evil.com/r.io/app", false},
		{"r.io/team/**", "r.io/team/a/b", true},
		{"r.io/team/**", "r.io/team", false},
		{"r.io/team/**", "r.io/team2/a", false},
		{"*.example.com/**", "a.example.com/x/y", true},
		{"*.example.com/**", "example.com/x", false},
		{"**", "r.io/team/app", true},
		{"*/team/app", "r.io/team/app", true},
		{"*", "r.io/team/app", false},
		{"", "r.io/team/app", false},
		{"[::1]:5000/app", "[::1]:5000/app", true},
		{"[::1]:5000/*", "[::1]:5000/app", true},
		{"[::1]:5000/app", "1:5000/app", false}, // no class of characters
		{"r.io/[a-z]pp", "r.io/app", false},
		{`r.io/\app`, "r.io/app", false},
	} {
		if got := tuf.MatchName(c.pattern, c.name); got != c.want {
			t.Errorf("MatchName(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

func TestCheckPattern(t *testing.T) {
	for _, p := range []string{"**", "r.io/**", "r.io/*", "r.io/team/app", "*.example.com/**", "r.io/team-?/*", "docker.io/**", "docker.io/library/*", "docker.io/library/**",
		"localhost:5000/team/*", "[::1]:5000/**", "*:5000/app"} {
		if err := tuf.CheckPattern(p); err != nil {
			t.Error(err)
		}
	}
	// What could never match, or would match otherwise than it looks, is refused.
	for _, p := range []string{"", "*", "r.io", "r.io/", "/**", "alpine", "team/*", "docker.io/alpine", "docker.io/*", "r.io/**/app", "**/app", "r.io/***", "r.io/a**", "R.io/*",
		"r.io/Team/*", "r.io/[a-z]*", `r.io/\*`, "r.io/app:1", "r.io/app:*", "https://r.io/**", "r.io//**", "r.io/*.json", "index.docker.io/**", "r.io/*\n"} {
		err := tuf.CheckPattern(p)
		if err == nil {
			t.Errorf("%q is taken", p)
			continue
		}
		wantRule(t, err, tuf.RuleName)
	}
}

func TestFileNames(t *testing.T) {
	for _, c := range []struct {
		name    string
		role    string
		version int64
	}{
		{"timestamp.json", "timestamp", 0}, {"1.root.json", "root", 1}, {"12.snapshot.json", "snapshot", 12}, {"3.targets.json", "targets", 3},
		{"7.alice.json", "alice", 7}, {"7.release-team_1.json", "release-team_1", 7}, {"999999999999999999.root.json", "root", 999999999999999999},
	} {
		role, version, err := tuf.ParseFileName(c.name)
		if err != nil || role != c.role || version != c.version {
			t.Errorf("%s: %s %d %v", c.name, role, version, err)
		}
		if got := tuf.FileName(role, version); got != c.name {
			t.Errorf("%s becomes %s", c.name, got)
		}
	}
	for _, name := range []string{"", "root.json", "0.root.json", "01.root.json", "-1.root.json", "+1.root.json", "1.timestamp.json", "1.root.JSON", "1.root.json.json", "1.root", "1..json",
		"1./root.json", "../1.root.json", "1.../root.json", "1.2.json", "1.Root.json", "1.TARGETS.json", "1000000000000000000.root.json", "1.a b.json", "1.é.json", "1.root.json\n", "１.root.json",
		"1." + strings.Repeat("a", 65) + ".json", "timestamp.json/", "Timestamp.json"} {
		if role, version, err := tuf.ParseFileName(name); err == nil {
			t.Errorf("%q is %s %d", name, role, version)
		}
	}
}
