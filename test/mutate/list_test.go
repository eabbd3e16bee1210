package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const tree = "../.."

// Each mutation fits the sources as they are, and names tests that there are. Whoever
// changes a protection changes the mutation with it.
func TestMutationsFitTheSources(t *testing.T) {
	tests := map[string]string{} // sources of tests, by folder
	for _, m := range mutations() {
		text, err := os.ReadFile(filepath.Join(tree, m.file))
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := m.apply(string(text)); err != nil {
			t.Error(err)
		}
		if len(m.tests) == 0 {
			t.Errorf("%s: %s: no test is named", m.file, oneLine(m.old))
		}
		for _, test := range m.tests {
			folder, name := split(test)
			if _, ok := tests[folder]; !ok {
				tests[folder] = sources(t, folder)
			}
			if !strings.Contains(tests[folder], "func "+name+"(") {
				t.Errorf("%s: %s has no test %s", m.file, folder, name)
			}
		}
	}
}

// sources are all tests of a folder, in one text.
func sources(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(tree, folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// Each promise of SECURITY.md has its mutations, and each mutation its promise.
func TestEveryPromiseHasItsMutation(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(tree, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "| attack | promise |")
	if !ok {
		t.Fatal("SECURITY.md has no table of promises")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var promises []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(table, -1) {
		if !strings.HasPrefix(row[1], "---") {
			promises = append(promises, row[1])
		}
	}
	for _, promise := range promises {
		if !slices.ContainsFunc(mutations(), func(m mutation) bool { return m.promise == promise }) {
			t.Errorf("the promise on %q has no mutation", promise)
		}
	}
	for _, m := range mutations() {
		if !slices.Contains(promises, m.promise) {
			t.Errorf("%s: %q is no row of SECURITY.md", m.file, m.promise)
		}
	}
}
