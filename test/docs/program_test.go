package docs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// A command is one command of a program, as its help tells.
type command struct {
	path     string // "signet key generate"
	help     string // all of it
	children []string
	flags    map[string]flag // its own and those above it
}

// A flag is one line of a command's help.
type flag struct {
	name, value, usage, otherwise string // otherwise is the default
	global                        bool
}

// commands are all commands by path.
type commands map[string]*command

// programs builds the programs into a folder.
func programs(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/signet", "./cmd/signet-server", "./cmd/signet-signer", "./cmd/signet-guard")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return dir
}

// run runs a program in a folder of its own, without what the environment says of
// Signet, and returns what it printed and its exit status.
func run(t *testing.T, dir, program string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	home := t.TempDir()
	cmd := exec.Command(filepath.Join(dir, program), args...)
	cmd.Dir = home
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "SIGNET_") && !strings.HasPrefix(entry, "XDG_") && !strings.HasPrefix(entry, "HOME=") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+home)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// explore asks every command for its help.
func explore(t *testing.T, dir string) commands {
	t.Helper()
	all := commands{}
	for _, program := range []string{"signet", "signet-server", "signet-signer", "signet-guard"} {
		all.add(t, dir, program)
	}
	all.add(t, dir, "signet man") // hidden: for whoever packages signet
	return all
}

func (all commands) add(t *testing.T, dir, path string) {
	t.Helper()
	words := strings.Fields(path)
	help, stderr, exit := run(t, dir, words[0], append(words[1:], "--help")...)
	if exit != 0 {
		t.Fatalf("%s --help: exit %d\n%s", path, exit, stderr)
	}
	c := &command{path: path, help: strings.TrimRight(help, "\n") + "\n"}
	c.read()
	all[path] = c
	for _, child := range c.children {
		if child != "help" && !strings.HasSuffix(path, " completion") { // cobra's own
			all.add(t, dir, path+" "+child)
		}
	}
}

var (
	childLine = regexp.MustCompile(`^  ([a-z-]+) +\S`)
	flagLine  = regexp.MustCompile(`^ {2,6}(?:-\w, )?--([a-z0-9-]+)(?: (\S+))? {3,}(.*)$`)
	shortLine = regexp.MustCompile(`^ {2}-(\w), --`)
	lastWords = regexp.MustCompile(` \(default:? (?:"([^"]*)"|([^()]*(?:\([^()]*\)[^()]*)*))\)$`)
)

// read takes the help apart.
func (c *command) read() {
	c.flags = map[string]flag{}
	heading := ""
	for line := range strings.Lines(c.help) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != ' ' {
			heading = line
			continue
		}
		switch heading {
		case "Available Commands:":
			if m := childLine.FindStringSubmatch(line); m != nil {
				c.children = append(c.children, m[1])
			}
		case "Flags:", "Global Flags:":
			m := flagLine.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			f := flag{name: m[1], value: m[2], usage: m[3], global: heading == "Global Flags:"}
			if d := lastWords.FindStringSubmatch(f.usage); d != nil {
				f.usage, f.otherwise = strings.TrimSuffix(f.usage, d[0]), d[1]+d[2]
			}
			c.flags["--"+f.name] = f
			if s := shortLine.FindStringSubmatch(line); s != nil {
				c.flags["-"+s[1]] = f
			}
		}
	}
}

// shown is the part of the help that a paper repeats: global flags stand once,
// with the program, and the servers' options in docs/configuration.md.
func (c *command) shown() string {
	text, _, _ := strings.Cut(c.help, "\nGlobal Flags:")
	if c.path == "signet-server" || c.path == "signet-signer" || c.path == "signet-guard" {
		text, _, _ = strings.Cut(text, "\nFlags:")
	}
	text = regexp.MustCompile(`(?m)^\nUse ".* --help" for more information about a command\.$`).ReplaceAllString(text, "")
	return strings.TrimRight(text, "\n") + "\n"
}
