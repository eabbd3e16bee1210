package docs

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestIncidentCommands holds the pages for bad days to their word: every command that
// they show is run by a script under test/e2e, but for what differs from case to case.
func TestIncidentCommands(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(root, "test", "e2e", "testdata", "*.txtar"))
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	run := map[string]bool{}
	for _, script := range scripts {
		for line := range strings.Lines(read(t, script)) {
			if words := scriptCommand(strings.Fields(line)); words != nil {
				run[plainCommand(words)] = true
			}
		}
	}
	for _, page := range []string{"incident.md", "airgap.md"} {
		n := 0
		demand := func(command string) {
			n++
			if plain := plainCommand(strings.Fields(command)); !run[plain] {
				t.Errorf("docs/%s: no script runs %q (looked for %q)", page, command, plain)
			}
		}
		for _, span := range inlineCommand.FindAllStringSubmatch(read(t, filepath.Join(root, "docs", page)), -1) {
			demand(span[1])
		}
		for _, b := range docsPaper(t, page).blocks() {
			for line := range strings.Lines(b.text) {
				command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
				if !ok {
					continue
				}
				demand(command)
			}
		}
		if n < 4 {
			t.Errorf("docs/%s shows %d commands", page, n)
		}
	}
}

// scriptCommand returns the program and arguments of a script's line, or nil.
func scriptCommand(words []string) []string {
	switch {
	case len(words) > 1 && words[0] == "exec":
		return words[1:]
	case len(words) > 2 && (words[0] == "exits" || words[0] == "until"):
		return words[2:]
	}
	return nil
}

var (
	inlineCommand = regexp.MustCompile("`(signet(?:-[a-z]+)? [^`.]*registry\\.example\\.com[^`]*[^`.])`") // one in a sentence, whole
	anyRepository = regexp.MustCompile(`^(\$REGISTRY|registry\.example\.com)/[a-z]+/([a-z]+|\*)`)
	anyDigest     = regexp.MustCompile(`@(\$[A-Z0-9]+|sha256:[0-9a-f.]+|DIGEST|GOOD|EVIL)$`)
)

// plainCommand leaves out what a script needs and a page does not show, and what
// differs from case to case.
func plainCommand(words []string) string {
	var plain []string
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case slices.Contains([]string{"--passphrase-file", "--ca", "--token-file", "--as"}, word):
			i++
			continue
		case word == "--yes":
			continue
		case word == "server/signet-data":
			word = "signet-data"
		case i > 0 && words[i-1] == "--server":
			word = "SERVER"
		case i > 0 && words[i-1] == "--since":
			word = "TIME"
		}
		word = anyDigest.ReplaceAllString(strings.Trim(word, "'"), "@DIGEST")
		if found := anyRepository.FindString(word); strings.HasSuffix(found, "*") {
			word = "PATTERN"
		} else if found != "" {
			word = anyRepository.ReplaceAllString(word, "REPO")
		}
		plain = append(plain, word)
	}
	return strings.Join(plain, " ")
}
