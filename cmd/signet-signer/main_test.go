package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

const app = "registry.example/team/app"

// binary is the real binary, built once for all tests here.
type binary struct {
	t    *testing.T
	path string
	dir  string // where it runs
}

// TestMain lets this test binary be the program: the same code, without a second
// build.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_IS_SIGNER") == "1" {
		main()
	}
	os.Exit(m.Run())
}

func newProgram(t *testing.T) *binary {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &binary{t: t, path: path, dir: t.TempDir()}
}

func (p *binary) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.path, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "TEST_IS_SIGNER=1")
	return cmd
}

// run returns what the program printed and its exit status.
func (p *binary) run(args ...string) (stdout, stderr string, status int) {
	p.t.Helper()
	cmd := p.command(args...)
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), trouble.String(), exit.ExitCode()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return out.String(), trouble.String(), 0
}

func (p *binary) must(args ...string) string {
	p.t.Helper()
	stdout, stderr, status := p.run(args...)
	if status != 0 {
		p.t.Fatalf("signet-signer %s: exit %d: %s", strings.Join(args, " "), status, stderr)
	}
	return stdout
}

// served is the program while it serves.
type served struct {
	*exec.Cmd
	at     ready
	log    *bytes.Buffer
	client *api.Client
}

// serve starts the program on a data folder and waits until it is ready: it says
// so in a line of its log, once the ready file is written.
func (p *binary) serve(data string) *served {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "ready")
	tlsDir := filepath.Join(p.dir, "tls")
	s := &served{log: &bytes.Buffer{}}
	s.Cmd = p.command("--data", data, "--listen", "localhost:0", "--health-listen", "127.0.0.1:0", "--ready-file", file,
		"--tls-ca", filepath.Join(tlsDir, caFile), "--tls-cert", filepath.Join(tlsDir, certFile), "--tls-key", filepath.Join(tlsDir, keyFile))
	s.Stdout, s.Stderr = s.log, s.log
	if err := s.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = s.Process.Kill() })
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		data, err := os.ReadFile(file)
		if err == nil {
			if err := json.Unmarshal(data, &s.at); err != nil {
				p.t.Fatal(err)
			}
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = s.kill()
			p.t.Fatalf("not ready: %s", s.log)
		}
	}
	var err error
	s.client, err = api.NewClient(api.ClientConfig{URL: s.at.URL, TLS: api.TLSFiles{
		CA: filepath.Join(tlsDir, caFile), Certificate: filepath.Join(tlsDir, clientCertFile), Key: filepath.Join(tlsDir, clientKeyFile),
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func (s *served) kill() error { return errors.Join(s.Process.Kill(), s.Wait()) }

// publisher makes requests for one repository.
type publisher struct {
	t             *testing.T
	root, targets tuf.Signer
	roots         [][]byte
}

func newPublisher(t *testing.T, client *api.Client) *publisher {
	t.Helper()
	p := &publisher{t: t, root: newKey(t), targets: newKey(t)}
	online, err := client.OnlineKeys(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	one := func(k *tuf.Key) tuf.RoleKeys { return tuf.RoleKeys{Keys: []*tuf.Key{k}} }
	root, err := tuf.NewRoot(tuf.RootSpec{Repository: app, Version: 1, Expires: time.Now().AddDate(1, 0, 0),
		Root: one(p.root.Key()), Targets: one(p.targets.Key()), Snapshot: one(online[0].Key), Timestamp: one(online[1].Key)})
	if err != nil {
		t.Fatal(err)
	}
	if err := tuf.Sign(t.Context(), root, p.root); err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(root)
	if err != nil {
		t.Fatal(err)
	}
	p.roots = [][]byte{data}
	return p
}

func newKey(t *testing.T) tuf.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := tuf.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *publisher) request(version int64) api.SignRequest {
	p.t.Helper()
	targets := tuf.NewTargets(version, time.Now().AddDate(0, 6, 0))
	if err := tuf.Sign(p.t.Context(), targets, p.targets); err != nil {
		p.t.Fatal(err)
	}
	data, err := tuf.Encode(targets)
	if err != nil {
		p.t.Fatal(err)
	}
	return api.SignRequest{Repository: app, Roots: p.roots, Roles: []tuf.File{{Role: tuf.RoleTargets, Version: version, Bytes: data}}}
}

func TestBackupAndRestoreOfTheRealProgram(t *testing.T) {
	p := newProgram(t)
	p.must("tls", "tls")
	s := p.serve("old")
	alice := newPublisher(t, s.client)
	if _, err := s.client.Sign(t.Context(), alice.request(1)); err != nil {
		t.Fatal(err)
	}
	// A backup of the running signer, and one signature that it does not know of.
	p.must("backup", "backup.db", "--data", "old")
	lost, err := s.client.Sign(t.Context(), alice.request(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := p.run("restore", "backup.db", "--data", "old"); status != 1 || !strings.Contains(stderr, "is ahead of the backup") {
		t.Errorf("a restore over the signer: exit %d: %s", status, stderr)
	}
	if _, stderr, status := p.run("backup", "backup.db", "--data", "old"); status != 1 || !strings.Contains(stderr, "exists") {
		t.Errorf("a backup over another: exit %d: %s", status, stderr)
	}
	if _, stderr, status := p.run("restore", "backup.db", "--data", "new"); status != 1 || !strings.Contains(stderr, "has no key-encryption key") {
		t.Errorf("a restore without the key-encryption key: exit %d: %s", status, stderr)
	}
	if runtime.GOOS == "windows" {
		err = s.kill() // it has no signal that asks
	} else {
		err = errors.Join(s.Process.Signal(os.Interrupt), s.Wait())
	}
	if err != nil && runtime.GOOS != "windows" {
		t.Fatalf("it did not stop in good order: %v: %s", err, s.log)
	}

	p.must("restore", "backup.db", "--data", "new", "--key-encryption-key", filepath.Join("old", "key-encryption-key.pem"))
	key := filepath.Join(p.dir, "old", "key-encryption-key.pem")
	data, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "new", "key-encryption-key.pem"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	s2 := p.serve("new")
	if s2.at.Identity != s.at.Identity {
		t.Errorf("identity %s after the restore, expected %s", s2.at.Identity, s.at.Identity)
	}
	if last, err := s2.client.Last(t.Context(), app); err != nil || last.Root == nil || last.Snapshot.Bytes != nil || last.Timestamp.Bytes != nil {
		t.Errorf("Last after a restore: %+v, %v, expected what was accepted alone", last, err)
	}
	signed, err := s2.client.Sign(t.Context(), alice.request(3))
	if err != nil {
		t.Fatal(err)
	}
	if signed.Snapshot.Version <= lost.Snapshot.Version || signed.Timestamp.Version <= lost.Timestamp.Version {
		t.Errorf("versions %d and %d after the restore, expected both above %d and %d",
			signed.Snapshot.Version, signed.Timestamp.Version, lost.Snapshot.Version, lost.Timestamp.Version)
	}
	p.must("log", "verify", "--data", "new")
	var report struct{ Entries int }
	if err := json.Unmarshal([]byte(p.must("log", "verify", "--data", "new", "--output", "json")), &report); err != nil || report.Entries < 6 {
		t.Errorf("log verify --output json: %+v, %v", report, err)
	}
	_ = s2.kill() // killed, as it says
	for _, s := range []*served{s, s2} {
		if strings.Contains(s.log.String(), strings.Split(string(data), "\n")[1]) {
			t.Error("the log tells the key-encryption key")
		}
	}
}

// A name is freed only by whoever types it, or says --yes.
func TestForget(t *testing.T) {
	p := newProgram(t)
	p.must("tls", "tls")
	s := p.serve("data")
	eve := newPublisher(t, s.client)
	if _, err := s.client.Sign(t.Context(), eve.request(1)); err != nil {
		t.Fatal(err)
	}
	if out := p.must("backup", "one.db", "--data", "data"); !strings.Contains(out, ": 1 repository, ") {
		t.Errorf("backup said %q", out)
	}
	if out := p.must("backup", "two.db", "--data", "data", "--output", "json"); !strings.Contains(out, `"keyEncryptionKeyIncluded":false`) {
		t.Errorf("backup --output json said %q", out)
	}
	_ = s.kill()
	for _, test := range []struct {
		name, input string
		args        []string
		status      int
		said        string
	}{
		{"not confirmed", "", []string{app}, 1, "nothing was forgotten"},
		{"another name", "y\n", []string{app}, 1, "nothing was forgotten"},
		{"no name", "", nil, 2, "the repository's full name"},
		{"a name that is none", "", []string{"../x"}, 2, "is not a registry's host"},
		{"a name that nothing was signed for", "", []string{app + "/other", "--yes"}, 1, "has signed nothing"},
		{"confirmed", app + "\n", []string{app}, 0, "forgot root version 1; snapshots go on above version 1, timestamps above 1"},
		{"a second time", "", []string{app, "--yes"}, 1, "has signed nothing"},
	} {
		cmd := p.command(append([]string{"forget", "--data", "data"}, test.args...)...)
		cmd.Stdin = strings.NewReader(test.input)
		said, _ := cmd.CombinedOutput()
		if status := cmd.ProcessState.ExitCode(); status != test.status || !strings.Contains(string(said), test.said) {
			t.Errorf("%s: exit %d, expected %d; it said: %s", test.name, status, test.status, said)
		}
	}
	s = p.serve("data")
	alice := newPublisher(t, s.client)
	if _, err := s.client.Sign(t.Context(), alice.request(1)); err != nil {
		t.Error(err)
	}
	_ = s.kill()
	p.must("log", "verify", "--data", "data")
	if out := p.must("forget", app, "--yes", "--data", "data", "--output", "json"); !strings.Contains(out, `"repository":"`+app+`","root":1`) {
		t.Errorf("forget --output json said %q", out)
	}
}

// Killed at any moment, the signer goes on from what it last made durable, and
// gives no version of a role two contents.
func TestKilledAtAnyMoment(t *testing.T) {
	p := newProgram(t)
	p.must("tls", "tls")
	contents := map[string]string{}
	remember := func(files ...tuf.File) {
		for _, f := range files {
			name := fmt.Sprint(f.Role, " ", f.Version)
			if before, ok := contents[name]; ok && before != f.SHA256() {
				t.Fatalf("%s has two contents", name)
			}
			contents[name] = f.SHA256()
		}
	}
	var alice *publisher
	version, acknowledged := int64(0), int64(0)
	for range 12 {
		s := p.serve("data")
		if alice == nil {
			alice = newPublisher(t, s.client)
		} else {
			last, err := s.client.Last(t.Context(), app)
			if err != nil {
				t.Fatal(err)
			}
			if last.Roles[0].Version < acknowledged {
				t.Fatalf("targets version %d was acknowledged, and %d is there", acknowledged, last.Roles[0].Version)
			}
			remember(last.Snapshot, last.Timestamp)
			version = last.Roles[0].Version // what was not acknowledged may be there, or not
		}
		killed := make(chan error, 1)
		for i := 0; ; i++ {
			version++
			r := alice.request(version)
			if i == 3 { // somewhere in the requests that follow
				go func() { killed <- s.kill() }()
			}
			signed, err := s.client.Sign(t.Context(), r)
			if err != nil {
				if !errors.Is(err, api.ErrUnavailable) {
					t.Fatal(err)
				}
				break
			}
			acknowledged = version
			remember(signed.Snapshot, signed.Timestamp)
		}
		<-killed
		p.must("log", "verify", "--data", "data")
	}
}

func TestConfiguration(t *testing.T) {
	p := newProgram(t)
	write := func(name, text string) string {
		path := filepath.Join(p.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name   string
		args   []string
		env    string
		status int
		stderr string
	}{
		{"a file with known keys", []string{"init", "--config", write("good.yaml", "data: from-file\nsnapshot-life: 3d\nmax-repositories: 10\n")}, "", 0, ""},
		{"an unknown key", []string{"init", "--config", write("typo.yaml", "data: d\nsnapshot_life: 3d\n")}, "", 2, `typo.yaml:2: unknown key "snapshot_life"`},
		{"a key twice", []string{"init", "--config", write("twice.yaml", "data: d\ndata: e\n")}, "", 2, `twice.yaml:2: the key "data" stands twice`},
		{"a value that is none", []string{"init", "--config", write("value.yaml", "\n\ntimestamp-life: soon\n")}, "", 2, "value.yaml:3: timestamp-life"},
		{"a list for a value", []string{"init", "--config", write("list.yaml", "data: [a]\n")}, "", 2, "list.yaml:1: data: expected one value"},
		{"a life beyond the limit", []string{"init", "--timestamp-life", "9d"}, "", 2, "at most 8d"},
		{"a snapshot that dies before its timestamp", []string{"init", "--snapshot-life", "1h"}, "", 2, "shorter"},
		{"a variable", []string{"init"}, "SIGNET_SIGNER_DATA=from-env", 0, ""},
		{"an unknown variable", []string{"init"}, "SIGNET_SIGNER_DATTA=x", 2, "unknown variable SIGNET_SIGNER_DATTA"},
		{"an unknown command", []string{"sing"}, "", 2, `"sing"`},
		{"an unknown flag", []string{"--sing"}, "", 2, "--sing"},
		{"no signer there", []string{"identity", "--data", "nowhere"}, "", 1, "no signer in nowhere"},
		{"no backup there", []string{"restore", "nothing", "--data", "r"}, "", 1, "nothing"},
		{"no file named", []string{"backup"}, "", 2, "the file to write"},
		{"no signer to ask", []string{"health", "--health-listen", "127.0.0.1:1"}, "", 1, "127.0.0.1:1"},
		{"no TLS files", []string{"serve", "--data", "no-tls"}, "", 1, "signet-signer tls"},
		{"a name that is none", []string{"keys", "rotate", "../x"}, "", 2, "is not a registry's host"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var environ []string
			if test.env != "" {
				environ = []string{test.env}
			}
			t.Chdir(p.dir)
			var stderr bytes.Buffer
			status := run(t.Context(), test.args, environ, io.Discard, &stderr)
			if status != test.status || !strings.Contains(stderr.String(), test.stderr) {
				t.Fatalf("exit %d, expected %d; it said: %s", status, test.status, &stderr)
			}
		})
	}
	// With --log-format json what goes wrong is JSON, too, with what to do.
	for _, args := range [][]string{{"--snapshot-life", "1h"}, {"--config", "none.yaml"}, {"--data", "good.yaml"}} {
		var stderr bytes.Buffer
		t.Chdir(p.dir)
		status := run(t.Context(), append(args, "--log-format", "json"), nil, io.Discard, &stderr)
		if status == 0 || !json.Valid(stderr.Bytes()) || !strings.Contains(stderr.String(), `"hint":"`) {
			t.Errorf("%s: exit %d: %s", args, status, &stderr)
		}
	}
	var said bytes.Buffer
	o := &options{logLevel: "info", logFormat: "json"}
	if err := o.announce(ready{URL: "https://localhost:4444", Identity: "f00"}, o.logger(&said), &said); err != nil {
		t.Error(err)
	}
	if !json.Valid(said.Bytes()) || !strings.Contains(said.String(), `"url":"https://localhost:4444","identity":"f00"`) {
		t.Errorf("it says where it is as %s", &said)
	}
	for _, folder := range []string{"from-file", "from-env"} {
		if _, err := os.Stat(filepath.Join(p.dir, folder)); err != nil {
			t.Error(err)
		}
	}
}

func TestTLSIsMadeOnceAndRenewed(t *testing.T) {
	p := newProgram(t)
	p.must("tls", "tls", "--host", "signer.example")
	before, err := os.ReadFile(filepath.Join(p.dir, "tls", certFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := p.run("tls", "tls"); status != 1 || !strings.Contains(stderr, "--renew") {
		t.Errorf("a second time: exit %d: %s", status, stderr)
	}
	s := p.serve("data")
	p.must("tls", "tls", "--renew")
	after, err := os.ReadFile(filepath.Join(p.dir, "tls", certFile))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, after) {
		t.Error("--renew left the certificate as it was")
	}
	if err := s.client.Ready(t.Context()); err != nil {
		t.Errorf("after --renew: %v", err)
	}
	if out := p.must("health", "--health-listen", strings.TrimPrefix(s.at.Health, "http://")); out != "ready\n" {
		t.Errorf("health said %q", out)
	}
	_ = s.kill()
	entries, err := os.ReadDir(filepath.Join(p.dir, "tls"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(entry.Name(), "key.pem") && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", entry.Name(), info.Mode().Perm())
		}
	}
}
