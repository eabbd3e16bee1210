package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is where the papers are, seen from here.
const root = "../.."

// A paper is one Markdown file.
type paper struct {
	path string // from root, with '/'
	text string
}

// papers reads all Markdown files that the tree has for people to read.
func papers(t *testing.T) []paper {
	t.Helper()
	var list []paper
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, paper{filepath.ToSlash(name), read(t, path)})
		}
	}
	if len(list) < 9 {
		t.Fatalf("only %d papers were found", len(list))
	}
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// docsPaper reads docs/name.
func docsPaper(t *testing.T, name string) paper {
	t.Helper()
	return paper{"docs/" + name, read(t, filepath.Join(root, "docs", name))}
}

// updating tells whether papers are to be written anew.
func updating() bool { return os.Getenv("SIGNET_UPDATE_DOCS") == "1" }

func (p paper) write(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(p.path)), []byte(p.text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A block is one fenced block of a paper.
type block struct {
	language string
	text     string // without the fences, with a last newline
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

func (p paper) blocks() []block {
	var list []block
	for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
		list = append(list, block{m[1], m[2]})
	}
	return list
}

var codeSpan = regexp.MustCompile("`([^`\n]+)`")

// spans returns the code spans outside of fenced blocks.
func (p paper) spans() []string {
	var list []string
	for _, m := range codeSpan.FindAllStringSubmatch(fence.ReplaceAllString(p.text, ""), -1) {
		list = append(list, m[1])
	}
	return list
}

// section returns what stands under a heading, up to the next heading of the same
// or a higher level.
func (p paper) section(t *testing.T, heading string) string {
	t.Helper()
	level := len(heading) - len(strings.TrimLeft(heading, "#"))
	_, rest, ok := strings.Cut("\n"+p.text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", p.path, heading)
	}
	end := regexp.MustCompile(`(?m)^#{1,` + string(rune('0'+level)) + `} `).FindStringIndex(rest)
	if end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

// firstColumn returns the code spans that begin the rows of the tables in text.
func firstColumn(text string) []string {
	var list []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}
