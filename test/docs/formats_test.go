package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// same tells what is in one list only.
func same(t *testing.T, what string, inCode, inPaper []string) {
	t.Helper()
	for _, name := range inCode {
		if !slices.Contains(inPaper, name) {
			t.Errorf("%s: %q is missing", what, name)
		}
	}
	for i, name := range inPaper {
		if !slices.Contains(inCode, name) {
			t.Errorf("%s: %q does not exist", what, name)
		}
		if slices.Contains(inPaper[:i], name) {
			t.Errorf("%s: %q stands twice", what, name)
		}
	}
}

func TestRules(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "tuf", "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Rule" {
			return true
		}
		for _, value := range spec.Values {
			if text, err := strconv.Unquote(value.(*ast.BasicLit).Value); err == nil {
				rules = append(rules, text)
			}
		}
		return true
	})
	if !slices.Contains(rules, string(tuf.RuleThreshold)) {
		t.Fatalf("these rules were found in tuf/errors.go: %q", rules)
	}
	formats := docsPaper(t, "formats.md")
	same(t, "docs/formats.md, rules", rules, firstColumn(formats.section(t, "## Rules")))
}

func TestProblems(t *testing.T) {
	formats := docsPaper(t, "formats.md")
	same(t, "docs/formats.md, problems of the server", api.ProblemNames(), firstColumn(formats.section(t, "### Problems")))

	source := read(t, filepath.Join(root, "signer", "api", "problem.go"))
	var names []string
	for _, m := range regexp.MustCompile(`(?:problemPrefix \+ |\{[A-Za-z.]+, )"([a-z-]+)"`).FindAllStringSubmatch(source, -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	same(t, "docs/formats.md, problems of the signer", names, firstColumn(formats.section(t, "### Problems of the signer")))
}

func TestMetrics(t *testing.T) {
	var names []string
	for _, m := range regexp.MustCompile(`Name: "(signet_[a-z_]+)"`).FindAllStringSubmatch(read(t, filepath.Join(root, "server", "metrics.go")), -1) {
		names = append(names, m[1])
	}
	same(t, "docs/operating.md, metrics", names, firstColumn(docsPaper(t, "operating.md").section(t, "### Metrics")))
}

// TestLimits holds the figures of the limits' table to the code's.
func TestLimits(t *testing.T) {
	limits := tuf.Limits{}.WithDefaults()
	table := docsPaper(t, "operating.md").section(t, "## Limits")
	for what, figure := range map[string]int64{
		"bytes of a publish's body": api.MaxBody,
		"files in one publish":      api.MaxFiles,
		"bytes of one file":         limits.Bytes,
		"nesting of JSON":           int64(limits.Depth),
		"members in one file":       int64(limits.Members),
		"keys in one file":          int64(limits.Keys),
		"signatures on one file":    int64(limits.Signatures),
		"signers in one file":       int64(limits.Delegations),
		"targets in one file":       int64(limits.Targets),
		"roles in one search":       tuf.MaxRoles,
	} {
		row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(what) + ` \| ([0-9,]+)`).FindStringSubmatch(table)
		if row == nil {
			t.Errorf("docs/operating.md, limits: no row %q", what)
			continue
		}
		if got, err := strconv.ParseInt(strings.ReplaceAll(row[1], ",", ""), 10, 64); err != nil || got != figure {
			t.Errorf("docs/operating.md, limits: %s is %s, expected %d", what, row[1], figure)
		}
	}
}
