package docs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var optionTable = regexp.MustCompile(`(?ms)^<!-- options of (signet-[a-z]+) -->\n(.*?)^<!-- end -->$`)

func checkOptions(t *testing.T, all commands) {
	p := docsPaper(t, "configuration.md")
	seen := map[string]bool{}
	text := optionTable.ReplaceAllStringFunc(p.text, func(whole string) string {
		m := optionTable.FindStringSubmatch(whole)
		c := all[m[1]]
		if c == nil {
			t.Errorf("docs/configuration.md has the options of %q, which is no program", m[1])
			return whole
		}
		seen[m[1]] = true
		table := optionsOf(c)
		if m[2] != table && !updating() {
			t.Errorf("docs/configuration.md has other options of %s than it takes (SIGNET_UPDATE_DOCS=1 writes them anew):\n%s", m[1], table)
		}
		return "<!-- options of " + m[1] + " -->\n" + table + "<!-- end -->"
	})
	for _, program := range []string{"signet-server", "signet-signer", "signet-guard"} {
		if !seen[program] {
			t.Errorf("docs/configuration.md has no table of the options of %s", program)
		}
	}
	if updating() {
		p.text = text
		p.write(t)
	}
}

// optionsOf writes the table of a server's options.
func optionsOf(c *command) string {
	prefix := strings.ToUpper(strings.ReplaceAll(c.path, "-", "_")) + "_"
	var b strings.Builder
	b.WriteString("| flag | environment | key in the file | default | meaning |\n|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(c.flags)) {
		f := c.flags[name]
		if !strings.HasPrefix(name, "--") || f.name == "help" || f.name == "version" {
			continue
		}
		shown, key, otherwise := name, "`"+f.name+"`", "-"
		if f.value != "" {
			shown += " " + strings.ToUpper(f.value)
		} else {
			otherwise = "`false`"
		}
		if f.name == "config" {
			key = "-"
		}
		if f.otherwise != "" {
			otherwise = "`" + f.otherwise + "`"
			if strings.Contains(f.otherwise, " ") {
				otherwise = f.otherwise
			}
		}
		fmt.Fprintf(&b, "| `%s` | `%s%s` | %s | %s | %s |\n", shown, prefix,
			strings.ToUpper(strings.ReplaceAll(f.name, "-", "_")), key, otherwise, strings.ReplaceAll(f.usage, "|", "\\|"))
	}
	return b.String()
}

// checkConfigurations gives every configuration file in the papers to the program
// that its first line names.
func checkConfigurations(t *testing.T, dir string) {
	taken := 0
	for _, p := range papers(t) {
		for _, b := range p.blocks() {
			first, _, _ := strings.Cut(b.text, "\n")
			var program string
			var args []string
			switch {
			case b.language != "yaml":
				continue
			case strings.HasPrefix(first, "# server.yaml"):
				program, args = "signet-server", []string{"config"}
			case strings.HasPrefix(first, "# signer.yaml"):
				program, args = "signet-signer", []string{"identity"} // which then finds no signer: exit 1
			case strings.HasPrefix(first, "# guard.yaml"):
				program, args = "signet-guard", []string{"config"}
			case strings.HasPrefix(first, "# policy.yaml"):
				program, args = "signet", []string{"policy", "check"}
			default:
				t.Errorf("%s: a YAML block without # server.yaml, # signer.yaml, # guard.yaml or # policy.yaml:\n%s", p.path, b.text)
				continue
			}
			if strings.HasSuffix(first, ", below the rules") { // the rest of it is of no matter there
				b.text += "version: 1\n"
			}
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if program != "signet" {
				args = append(args, "--config")
			}
			_, stderr, exit := run(t, dir, program, append(args, file)...)
			if exit == 2 || (exit != 0 && program != "signet-signer") {
				t.Errorf("%s: %s does not take this file: %s%s", p.path, program, stderr, b.text)
			}
			taken++
		}
	}
	if taken == 0 {
		t.Error("no paper shows a configuration file")
	}
}
