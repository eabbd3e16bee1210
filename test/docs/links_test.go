package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	linkPattern    = regexp.MustCompile(`\[[^\]\n]+\]\(([^)\s]+)\)`)
	headingPattern = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
)

// anchor is the name that a forge gives to a heading.
func anchor(heading string) string {
	heading = strings.ReplaceAll(heading, "`", "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// TestLinks follows every relative link, to the heading where it names one.
func TestLinks(t *testing.T) {
	followed := 0
	for _, p := range papers(t) {
		for _, m := range linkPattern.FindAllStringSubmatch(fence.ReplaceAllString(p.text, ""), -1) {
			target, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			to := p.path
			if target != "" {
				to = path.Join(path.Dir(p.path), target)
			}
			data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(to)))
			if info, statErr := os.Stat(filepath.Join(root, filepath.FromSlash(to))); statErr == nil && info.IsDir() {
				err = nil
			}
			if err != nil {
				t.Errorf("%s links to %s, which is not there", p.path, m[1])
				continue
			}
			followed++
			if heading == "" {
				continue
			}
			found := false
			for _, h := range headingPattern.FindAllStringSubmatch(fence.ReplaceAllString(string(data), ""), -1) {
				found = found || anchor(h[1]) == heading
			}
			if !found {
				t.Errorf("%s links to %s, which has no such heading", p.path, m[1])
			}
		}
	}
	if followed == 0 {
		t.Error("no paper has a link")
	}
}

// TestTargets finds every make target that a paper names.
func TestTargets(t *testing.T) {
	makefile := read(t, filepath.Join(root, "Makefile"))
	for _, p := range papers(t) {
		var lines []string
		for _, b := range p.blocks() {
			lines = append(lines, strings.Split(b.text, "\n")...)
		}
		for _, line := range append(lines, p.spans()...) {
			m := regexp.MustCompile(`^(?:\$ )?make ([a-z-]+)\b`).FindStringSubmatch(line)
			if m != nil && !regexp.MustCompile(`(?m)^`+m[1]+`:`).MatchString(makefile) {
				t.Errorf("%s: %q: the Makefile has no such target", p.path, line)
			}
		}
	}
}

// others are tests of other projects that a paper speaks of.
var others = map[string]bool{"TestYubiKeyAttestation": true} // piv-go's

// TestNamedTests finds every test that SECURITY.md, or another paper, names: a Go
// function TestX or FuzzX, in the package that is named with it, or a script x.txtar.
func TestNamedTests(t *testing.T) {
	functions, scripts := map[string]bool{}, map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != root:
			return filepath.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			scripts[entry.Name()] = true
		case strings.HasSuffix(path, "_test.go"):
			for _, m := range declared.FindAllStringSubmatch(read(t, path), -1) {
				functions[m[1]] = true
				functions[filepath.Base(filepath.Dir(path))+"."+m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range papers(t) {
		named := 0
		for _, m := range regexp.MustCompile(`\b(?:[a-z][a-z-]*\.)?(?:Test|Fuzz|Example)[A-Z]\w+`).FindAllString(p.text, -1) {
			named++
			if !functions[m] && !others[m] {
				t.Errorf("%s names %s, which is no test in the tree", p.path, m)
			}
		}
		for _, m := range regexp.MustCompile(`[\w-]+\.txtar`).FindAllString(p.text, -1) {
			named++
			if !scripts[m] {
				t.Errorf("%s names %s, which is no script in the tree", p.path, m)
			}
		}
		if p.path == "SECURITY.md" && named == 0 {
			t.Error("SECURITY.md names no test")
		}
	}
}
