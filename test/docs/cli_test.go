package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPrograms holds the papers to the programs as they are built.
func TestPrograms(t *testing.T) {
	dir := programs(t)
	all := explore(t, dir)
	t.Run("every command's help stands in docs/cli.md", func(t *testing.T) { checkHelp(t, all) })
	t.Run("every option stands in docs/configuration.md", func(t *testing.T) { checkOptions(t, all) })
	t.Run("what the papers type exists", func(t *testing.T) { checkTyped(t, all) })
	t.Run("configuration files in the papers are taken", func(t *testing.T) { checkConfigurations(t, dir) })
}

var helpBlock = regexp.MustCompile("(?ms)^```text\n\\$ (signet[a-z -]*?) --help\n(.*?)^```$")

func checkHelp(t *testing.T, all commands) {
	cli := docsPaper(t, "cli.md")
	seen := map[string]bool{}
	text := helpBlock.ReplaceAllStringFunc(cli.text, func(whole string) string {
		m := helpBlock.FindStringSubmatch(whole)
		c := all[m[1]]
		switch {
		case c == nil:
			t.Errorf("docs/cli.md shows the help of %q, which is no command", m[1])
			return whole
		case seen[m[1]]:
			t.Errorf("docs/cli.md shows the help of %q twice", m[1])
		case m[2] != c.shown() && !updating():
			t.Errorf("docs/cli.md shows other help of %q than it gives (SIGNET_UPDATE_DOCS=1 writes it anew):\n%s", m[1], c.shown())
		}
		seen[m[1]] = true
		return "```text\n$ " + m[1] + " --help\n" + c.shown() + "```"
	})
	for _, path := range slices.Sorted(maps.Keys(all)) {
		if !seen[path] {
			t.Errorf("docs/cli.md does not show the help of %q", path)
		}
	}
	if updating() {
		cli.text = text
		cli.write(t)
	}
}

// typed finds what somebody types in a line: the commands of ours in it, without
// what pipes, comments and substitutions put around them.
func typed(line string) [][]string {
	var list [][]string
	line, _, _ = strings.Cut(line, " #")
	for _, piece := range regexp.MustCompile(`\$\(|\)|\||;|&&|&|>`).Split(line, -1) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(piece), "$ "))
		if len(words) > 0 && slices.Contains([]string{"signet", "signet-server", "signet-signer", "signet-guard"}, words[0]) {
			list = append(list, words)
		}
	}
	return list
}

// check walks the words of one command line.
func (all commands) check(words []string) (wrong string) {
	at := all[words[0]]
	for i := 1; i < len(words); i++ {
		word, _, inline := strings.Cut(words[i], "=")
		if strings.HasPrefix(word, "-") && word != "-" {
			f, ok := at.flags[strings.Trim(word, "[].,'\"")]
			if !ok {
				return "no flag " + word
			}
			if f.value != "" && !inline {
				i++
			}
			continue
		}
		if child := all[at.path+" "+words[i]]; child != nil {
			at = child
		} else if len(at.children) > 0 && regexp.MustCompile(`^[a-z-]+$`).MatchString(word) && at.path != "signet completion" && !strings.HasSuffix(at.path, "-server completion") {
			return "no command " + word
		}
	}
	return ""
}

func checkTyped(t *testing.T, all commands) {
	anywhere := map[string]bool{}
	for _, c := range all {
		for name := range c.flags {
			anywhere[name] = true
		}
	}
	for _, p := range papers(t) {
		if p.path == "CHANGELOG.md" {
			continue // it tells of what was, too
		}
		var lines []string
		for _, b := range p.blocks() {
			text := strings.ReplaceAll(b.text, "\\\n", " ")
			if helpBlock.MatchString("```text\n" + text + "```") { // of a program's own words, only what it has people type
				_, text, _ = strings.Cut(text, "\nExamples:\n")
				text, _, _ = strings.Cut(text, "\nFlags:\n")
			}
			lines = append(lines, strings.Split(text, "\n")...)
		}
		spans := p.spans()
		for _, line := range append(lines, spans...) {
			for _, words := range typed(line) {
				if wrong := all.check(words); wrong != "" {
					t.Errorf("%s: %q: %s", p.path, strings.Join(words, " "), wrong)
				}
			}
		}
		for _, span := range spans {
			if !strings.HasPrefix(span, "--") && !strings.HasPrefix(span, "signet") {
				continue // another program's
			}
			for _, m := range regexp.MustCompile(`(?:^|\s)(--[a-z][a-z0-9-]+)`).FindAllStringSubmatch(span, -1) {
				if !anywhere[m[1]] {
					t.Errorf("%s: `%s` has the flag %s, which no program has", p.path, span, m[1])
				}
			}
		}
	}
}

// TestMembers holds docs/cli.md to the members that signet's JSON can have.
func TestMembers(t *testing.T) {
	cli := docsPaper(t, "cli.md")
	known := map[string]bool{}
	for _, span := range cli.spans() {
		known[span] = true
	}
	files, err := filepath.Glob(filepath.Join(root, "cmd", "signet", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, filepath.Join(root, "client", "decision.go"), filepath.Join(root, "client", "change.go"),
		filepath.Join(root, "client", "publisher.go"), filepath.Join(root, "client", "anchor.go"))
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil {
				return true
			}
			member, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json"), ",")
			if member != "" && member != "-" && !known[member] {
				t.Errorf("docs/cli.md does not have the member `%s` (%s)", member, filepath.Base(path))
			}
			return true
		})
	}
}
