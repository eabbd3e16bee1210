// Package e2e drives the real programs with scripts, one for each promise of the
// README: signet, signet-server and signet-signer, a registry, virtual YubiKeys
// behind the real pcscd, and attackers in between.
//
// The scripts are in testdata. Beside testscript's own commands they have:
//
//	exits N PROGRAM...        run it, and demand the exit status
//	until N PROGRAM...        run it again and again until it ends with that status
//	machine NAME              another computer: its own configuration, state and keys
//	given REPO                a server, a login, two key files, and REPO created with them
//	keys                      the key files root, root-2 and targets, and their passphrase
//	server start NAME ARG...  signet-server, with its data in NAME/signet-data; sets $SERVER and $CA
//	server stop|kill NAME
//	signer start|stop NAME    signet-signer; sets $SIGNER
//	pushimage VAR REF TEXT    push a multi-platform image to $REGISTRY, set VAR to its digest
//	pushmany REPO N           push images tagged 1 to N
//	registry                  Debian's docker-registry, in place of the one in this process
//	yubikeys SERIAL[:OPTION]  plug virtual YubiKeys in, as sticks_test.go says; sets $PIN, $PUK, $STICK_CA
//	stick SERIAL ACTION       touch auto|refuse|manual, asked, release, remove, insert, reset, empty SLOT,
//	                          garble, signatures N, tries N, puk-tries N
//	pcscd stop                end the smart card service
//	stranger N PROGRAM...     run it as one whom pcscd does not let at cards; demand the exit status
//	scdaemon start|stop       have GnuPG take a YubiKey
//	dialog FILE PROGRAM...    run it at a terminal, where somebody answers: see dialog_test.go
//	proxy                     put somebody between; sets $PROXY
//	attack ...                what he does: see attack_test.go
//	refuses DIR ROLE IMAGE    serve each file in DIR as the role's: every time the verdict is untrusted
//	setvar VAR FILE           set VAR to the first line of a file, or of stdout
//	certify CERT KEY UNTIL    a certificate for localhost by an authority of its own, until that date
//	tamper FILE OLD NEW       change bytes in a file
//	admit VERDICT PATH NAME [OLD NEW]...
//	                          send the gate a recorded admission review, with OLD replaced by NEW, and demand
//	                          allowed, refused, until-allowed or until-refused
//	guard start NAME ARG...   signet-guard with NAME.yaml, its state and decisions in NAME; sets $GUARD
//	guard begin NAME ARG...   the same, which does not get ready yet
//	guard stop|hangup NAME
//	logged REGEXP FILE        wait until a line of a file is so
//	readyz N TEXT             wait until its /readyz has the status and says the text
//	decides N IMAGE TEXT      wait until its door decide answers so
//	secureregistry CERT KEY   Debian's docker-registry with TLS and basic authentication
//	containerd                Debian's containerd, for ctr images pull
//	hosts ARG...              hosts/$REGISTRY/hosts.toml, by signet-guard config containerd
//	plugin N NAME DIGEST      call plugins/10-images as containerd does; demand the exit status
//	corrupt DIGEST            flip a byte of what that registry keeps
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"
)

// passphrase of the key files in scripts.
const passphrase = "correct horse battery staple"

// patience is how long anything in a script may take to come about.
const patience = 60 * time.Second

// A bench is what all scripts share: nothing that one can change for another.
type bench struct {
	bin  string // programs
	keys string // key files root, root-2, targets
	t    *testing.T
}

func TestScripts(t *testing.T) {
	b := &bench{bin: t.TempDir(), keys: t.TempDir(), t: t}
	b.build(t)
	b.makeKeys(t)
	// The subtests are parallel: a group lets cleanup wait for them.
	t.Run("script", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:                 "testdata",
			RequireUniqueNames:  true,
			RequireExplicitExec: true,
			Setup:               b.setup,
			Cmds:                b.commands(),
		})
	})
}

// build makes the programs as a user would, and signet without cgo, too.
func (b *bench) build(t *testing.T) {
	for _, build := range []struct{ cgo, out, what string }{
		{"1", b.bin + "/", "./cmd/..."},
		{"0", filepath.Join(b.bin, "signet-nocgo"), "./cmd/signet"},
	} {
		cmd := exec.Command("go", "build", "-o", build.out, build.what)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+build.cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", build.what, err, out)
		}
	}
}

// makeKeys makes the key files once, since each costs a second of CPU.
func (b *bench) makeKeys(t *testing.T) {
	file := filepath.Join(b.keys, "passphrase")
	if err := os.WriteFile(file, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root", "root-2", "targets"} {
		cmd := exec.Command(filepath.Join(b.bin, "signet"), "key", "generate", "--file", "--name", name,
			"--role", strings.TrimSuffix(name, "-2"), "--data-dir", b.keys, "--passphrase-file", file)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make key %s: %v\n%s", name, err, out)
		}
	}
}

// setup gives each script a computer of its own, named publisher, and a registry of
// its own: scripts run at once, and call their images alike.
func (b *bench) setup(env *testscript.Env) error {
	images := httptest.NewServer(registry.New(registry.Logger(quiet())))
	env.Defer(func() { images.CloseClientConnections(); images.Close() }) // a script that fails may leave a push behind
	env.Vars = append(env.Vars,
		"HOME="+filepath.Join(env.WorkDir, "home"),
		"PATH="+b.bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"REGISTRY=localhost:"+port(images.URL),
		"PROGRAMS="+b.bin,
		"PASS="+filepath.Join(b.keys, "passphrase"),
		// Nobody's smart card service but the one that a script starts.
		"PCSCLITE_CSOCK_NAME="+filepath.Join(env.WorkDir, "no-pcscd"),
	)
	env.Vars = append(env.Vars, machineVars(env.WorkDir, "publisher")...)
	env.Values[sceneKey{}] = &scene{bench: b, processes: map[string]*process{}, ports: map[string]string{}}
	return nil
}

func machineVars(work, name string) []string {
	dir := filepath.Join(work, name)
	return []string{"XDG_CONFIG_HOME=" + filepath.Join(dir, "config"), "XDG_STATE_HOME=" + filepath.Join(dir, "state"), "XDG_DATA_HOME=" + filepath.Join(dir, "data")}
}

// A scene is what one script has started.
type scene struct {
	*bench
	processes map[string]*process
	ports     map[string]string // by server's name, kept over restarts
	sticks    *sticks
	attacker  *attacker

	registryCA string // of a registry that has a certificate of its own
}

type sceneKey struct{}

func sceneOf(ts *testscript.TestScript) *scene { return ts.Value(sceneKey{}).(*scene) }

// commands are the scripts' own.
func (b *bench) commands() map[string]func(*testscript.TestScript, bool, []string) {
	plain := func(usage string, least int, do func(*testscript.TestScript, *scene, []string) error) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < least {
				ts.Fatalf("usage: %s", usage)
			}
			ts.Check(do(ts, sceneOf(ts), args))
		}
	}
	return map[string]func(*testscript.TestScript, bool, []string){
		"exits":     plain("exits STATUS PROGRAM [ARG...]", 2, exits),
		"until":     plain("until STATUS PROGRAM [ARG...]", 2, until),
		"machine":   plain("machine NAME", 1, machine),
		"given":     plain("given REPO", 1, given),
		"keys":      plain("keys", 0, copyKeys),
		"server":    plain("server start|stop|kill NAME [ARG...]", 2, serverCommand),
		"signer":    plain("signer start|stop|kill NAME [ARG...]", 2, signerCommand),
		"pushimage": plain("pushimage VAR REF TEXT", 3, pushImage),
		"pushmany":  plain("pushmany REPO N", 2, pushImages),
		"registry":  plain("registry", 0, debianRegistry),
		"yubikeys":  plain("yubikeys SERIAL[:OPTION,...]...", 1, plugIn),
		"stick":     plain("stick SERIAL ACTION [ARG]", 2, stickCommand),
		"pcscd":     plain("pcscd stop", 1, stopDaemon),
		"stranger":  plain("stranger STATUS PROGRAM [ARG...]", 2, stranger),
		"scdaemon":  plain("scdaemon start|stop", 1, scdaemonCommand),
		"dialog":    plain("dialog FILE PROGRAM [ARG...]", 2, dialog),
		"proxy":     plain("proxy", 0, startProxy),
		"refuses":   plain("refuses DIR ROLE IMAGE", 3, refuses),
		"attack":    plain("attack HOW [ARG...]", 1, attackCommand),
		"setvar":    plain("setvar VAR FILE", 2, setVar),
		"certify":   plain("certify CERT KEY UNTIL", 3, certify),
		"admit":     plain("admit VERDICT PATH NAME [OLD NEW]...", 3, admit),
		"tamper":    plain("tamper FILE OLD NEW", 3, tamper),

		"guard":          plain("guard start|begin|stop|hangup NAME [ARG...]", 2, guardCommand),
		"logged":         plain("logged REGEXP FILE", 2, logged),
		"readyz":         plain("readyz STATUS TEXT", 2, readyz),
		"decides":        plain("decides STATUS IMAGE TEXT", 3, decides),
		"secureregistry": plain("secureregistry CERT KEY", 2, secureRegistry),
		"containerd":     plain("containerd", 0, containerd),
		"hosts":          plain("hosts [ARG...]", 0, hostsFile),
		"plugin":         plain("plugin STATUS NAME DIGEST", 3, plugin),
		"corrupt":        plain("corrupt DIGEST", 1, corrupt),
	}
}

// exits runs a program and demands its exit status.
func exits(ts *testscript.TestScript, _ *scene, args []string) error {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	got, err := status(ts.Exec(args[1], args[2:]...))
	if err == nil && got != want {
		err = fmt.Errorf("exit status %d, expected %d", got, want)
	}
	return err
}

// until runs a program again and again, for what takes its time to come about.
func until(ts *testscript.TestScript, _ *scene, args []string) error {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		got, err := status(ts.Exec(args[1], args[2:]...))
		return got == want, err
	})
}

func status(err error) (int, error) {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// poll asks done, some times a second, until it says yes.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("it did not come about: %w", ctx.Err())
		}
	}
}

// machine goes to another computer.
func machine(ts *testscript.TestScript, _ *scene, args []string) error {
	for _, v := range machineVars(ts.Getenv("WORK"), args[0]) {
		name, value, _ := strings.Cut(v, "=")
		ts.Setenv(name, value)
	}
	return nil
}

// copyKeys puts the key files into this computer's data folder.
func copyKeys(ts *testscript.TestScript, s *scene, _ []string) error {
	to := filepath.Join(ts.Getenv("XDG_DATA_HOME"), "signet", "keys")
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.bench.keys, "keys", "*.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// given is where most scripts begin.
func given(ts *testscript.TestScript, s *scene, args []string) error {
	if s.processes["server"] == nil {
		if err := serverCommand(ts, s, []string{"start", "server"}); err != nil {
			return err
		}
	}
	if err := copyKeys(ts, s, nil); err != nil {
		return err
	}
	if err := ts.Exec("signet", "login", ts.Getenv("SERVER"), "--ca", ts.Getenv("CA"), "--token-file", ts.Getenv("TOKEN"), "--yes"); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	for _, repository := range args {
		err := ts.Exec("signet", "init", repository, "--root-key", "root", "--targets-key", "targets", "--yes", "--passphrase-file", ts.Getenv("PASS"))
		if err != nil {
			return fmt.Errorf("init %s: %w", repository, err)
		}
	}
	return nil
}

// setVar sets a variable to the first line of a file, or of stdout.
func setVar(ts *testscript.TestScript, _ *scene, args []string) error {
	line, _, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	ts.Setenv(args[0], line)
	return nil
}

// tamper changes bytes in a file.
func tamper(ts *testscript.TestScript, _ *scene, args []string) error {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(args[1])) {
		return fmt.Errorf("%s does not contain %q", args[0], args[1])
	}
	return os.WriteFile(path, bytes.Replace(data, []byte(args[1]), []byte(args[2]), 1), 0o600)
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
