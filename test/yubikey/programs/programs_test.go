//go:build cgo && linux

// Package programs_test drives the virtual YubiKey with programs that we did not
// write: what they take for a YubiKey is one, as far as they look. Each row of the
// table in docs/yubikey-programs.md is a check here.
//
// go test runs all but piv-go's own suite; scripts/test-yubikey runs that too, and
// prints the table.
package programs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/test/yubikey"
)

// A program is one of others. Its version is what it says itself.
type program struct {
	name    string
	version func(s *stage) string
}

// A group of checks shares its sticks, which are back in the factory's state before
// each check.
type group struct {
	program program
	sticks  []yubikey.StickConfig
	checks  []check
}

// A check is one row of the table.
type check struct {
	what string
	run  func(s *stage)
	slow bool // left to scripts/test-yubikey
}

func groups() []group {
	return []group{pivGo(), yubicoPIVTool(), ykman(), openSC(), ykcs11(), scdaemon(), several()}
}

// TestMain settles the socket of all benches of this process: libpcsclite asks for
// it once.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "yubikey-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("PCSCLITE_CSOCK_NAME", filepath.Join(dir, "pcscd.comm"))
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// TestPrograms runs the checks. With SIGNET_TEST_YUBIKEY=all it runs the slow ones
// too and prints the table as it grows.
func TestPrograms(t *testing.T) {
	all := os.Getenv("SIGNET_TEST_YUBIKEY") == "all"
	if all {
		fmt.Printf("%-7s%-23s%-13s%-20s%s\n", "", "PROGRAM", "VERSION", "FIRMWARE", "WHAT")
	}
	for _, g := range groups() {
		t.Run(g.program.name, func(t *testing.T) {
			bench, err := yubikey.Start(yubikey.Config{
				Sticks: g.sticks, Socket: os.Getenv("PCSCLITE_CSOCK_NAME"), Dir: t.TempDir(),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer bench.Close()
			version := g.program.version(&stage{T: t, bench: bench, dir: t.TempDir()})
			for _, c := range g.checks {
				if c.slow && !all {
					continue
				}
				ok := t.Run(c.what, func(t *testing.T) {
					for _, stick := range bench.Sticks() {
						if err := stick.Reset(); err != nil {
							t.Fatal(err)
						}
					}
					c.run(&stage{T: t, bench: bench, dir: t.TempDir(), version: version})
				})
				if all {
					result := map[bool]string{true: "ok", false: "FAILED"}[ok]
					fmt.Printf("%-7s%-23s%-13s%-20s%s\n", result, g.program.name, version, g.firmware(), plain(c.what))
				}
			}
		})
	}
}

func (g group) firmware() string {
	var versions []string
	for _, stick := range g.sticks {
		versions = append(versions, stick.Firmware)
	}
	return strings.Join(versions, ", ")
}

// plain is Markdown without its quotes.
func plain(s string) string { return strings.ReplaceAll(s, "`", "") }

const (
	document = "../../../docs/yubikey-programs.md"
	begin    = "<!-- table: scripts/test-yubikey --write -->\n"
	end      = "<!-- end of table -->\n"
)

// TestDocument compares the table in the documentation with the checks. The versions
// are those of the machine where it was written, and are not compared. With
// SIGNET_TEST_YUBIKEY_DOCUMENT=write it writes the table anew.
func TestDocument(t *testing.T) {
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the lines around its table", document)
	}
	if os.Getenv("SIGNET_TEST_YUBIKEY_DOCUMENT") == "write" {
		if err := os.WriteFile(document, []byte(before+begin+strings.Join(rows(t, true), "\n")+"\n"+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	var got []string
	for line := range strings.Lines(table) {
		columns := strings.Split(strings.TrimSpace(line), "|")
		if len(columns) == 6 { // the version goes
			columns = slices.Delete(columns, 2, 3)
		}
		got = append(got, strings.Join(columns, "|"))
	}
	if diff := cmp.Diff(rows(t, false), got); diff != "" {
		t.Errorf("%s is not what is tested; write it anew with scripts/test-yubikey --write\n%s", document, diff)
	}
}

// rows is the table as the documentation has it.
func rows(t *testing.T, versions bool) []string {
	line := func(columns ...string) string {
		if !versions {
			columns = slices.Delete(columns, 1, 2)
		}
		return "|" + strings.Join(columns, "|") + "|"
	}
	table := []string{line(" Program ", " Version ", " Firmware ", " What it does "), line("---", "---", "---", "---")}
	for _, g := range groups() {
		version := ""
		if versions {
			version = g.program.version(&stage{T: t, dir: t.TempDir()})
		}
		for _, c := range g.checks {
			table = append(table, line(" "+g.program.name+" ", " "+version+" ", " "+g.firmware()+" ", " "+c.what+" "))
		}
	}
	return table
}
