// Package crash kills the real server, with the signer inside or beside it, at
// random moments of publishes, and checks what is left each time: every publish that was
// acknowledged is there, what is served verifies as for a client without state,
// and nothing is half there or has stepped back.
//
// SIGNET_CRASH_KILLS sets how often it kills, for a longer soak.
package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const (
	killsByDefault = 110
	repositories   = 3 // published to at the same time
)

// The embedded default: one kill ends server, signer and database.
func TestKilledAtAnyMoment(t *testing.T) {
	kills := killsByDefault
	if text := os.Getenv("SIGNET_CRASH_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatalf("SIGNET_CRASH_KILLS: %v", err)
		}
	}
	s := &subject{dir: t.TempDir()}
	s.build(t, "signet-server")
	finished := s.survive(t, kills)
	if kills >= killsByDefault && finished == 0 {
		t.Error("no kill fell between signing and commit")
	}
}

// The signer is a process of its own: one of the two dies, or both.
func TestSignerBesideIsKilled(t *testing.T) {
	s := &subject{dir: t.TempDir(), beside: true}
	s.build(t, "signet-server", "signet-signer")
	s.prepareSigner(t)
	s.survive(t, 24)
}

// survive kills so often, and returns how many publishes were finished by a later
// start.
func (s *subject) survive(t *testing.T, kills int) (finished int) {
	t.Helper()
	s.start(t)
	t.Cleanup(s.killAll)
	var publishers []*publisher
	for i := range repositories {
		publishers = append(publishers, newPublisher(t, s, fmt.Sprintf("registry.example/crash/app%d", i)))
	}
	acknowledged, unanswered := 0, 0
	for kill := range kills {
		s.killDuring(t, publishers, kill)
		s.start(t)
		for _, p := range publishers {
			p.check(t)
			acknowledged, unanswered = acknowledged+p.acked, unanswered+p.lost
			p.acked, p.lost = 0, 0
		}
		if t.Failed() {
			t.Fatalf("after kill %d", kill+1)
		}
	}
	if acknowledged < kills/4 || unanswered < kills/4 {
		t.Errorf("%d publishes acknowledged and %d cut off in %d kills: the kills did not hit publishes", acknowledged, unanswered, kills)
	}
	log, err := os.ReadFile(filepath.Join(s.dir, "signet-server.log"))
	if err != nil {
		t.Fatal(err)
	}
	finished = bytes.Count(log, []byte("finished what was signed"))
	t.Logf("%d kills: %d publishes acknowledged and all there, %d cut off, %d of them finished later", kills, acknowledged, unanswered, finished)
	return finished
}

// A subject is what is killed: the server, and the signer where it stands beside.
type subject struct {
	dir        string
	beside     bool   // the signer is a process of its own
	signerAddr string // which then has a port that stays
	server     *process
	signer     *process
	client     *harness.Client
	base       time.Duration // how long one publish takes, about
}

// A process is a running program.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// kill ends a process as a power cut would, as far as a process can tell.
func (p *process) kill() {
	if p != nil {
		_ = p.cmd.Process.Kill() // it may be dead already
		<-p.exited
	}
}

func (p *process) alive() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (s *subject) binary(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(s.dir, name)
}

func (s *subject) build(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		out, err := exec.Command("go", "build", "-o", s.binary(name), "github.com/signet-trust/signet/cmd/"+name).CombinedOutput()
		if err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
}

// prepareSigner makes the certificates between server and signer, and picks a port.
func (s *subject) prepareSigner(t *testing.T) {
	t.Helper()
	out, err := exec.Command(s.binary("signet-signer"), "tls", filepath.Join(s.dir, "tls")).CombinedOutput()
	if err != nil {
		t.Fatalf("signet-signer tls: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.signerAddr = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// start starts what is dead on what it left, and waits until it is ready.
func (s *subject) start(t *testing.T) {
	t.Helper()
	tls := func(name string) string { return filepath.Join(s.dir, "tls", name) }
	args := []string{"--data", filepath.Join(s.dir, "data"), "--listen", "localhost:0", "--health-listen", "off",
		"--rate-token", "-1", "--rate-writes", "-1"}
	if s.beside {
		args = append(args, "--signer", "https://"+s.signerAddr, "--signer-ca", tls("signer-ca.pem"),
			"--signer-cert", tls("signer-client-cert.pem"), "--signer-key", tls("signer-client-key.pem"))
		if !s.signer.alive() {
			s.signer = s.run(t, "signet-signer", func([]byte) bool { return true }, "--data", filepath.Join(s.dir, "signer"),
				"--listen", s.signerAddr, "--health-listen", "off",
				"--tls-ca", tls("signer-ca.pem"), "--tls-cert", tls("signer-cert.pem"), "--tls-key", tls("signer-key.pem"))
		}
	}
	if !s.server.alive() {
		s.server = s.run(t, "signet-server", func(text []byte) bool { return s.ready(t, text) }, args...)
	}
}

// run starts a program and waits for its ready file.
func (s *subject) run(t *testing.T, name string, ready func(text []byte) bool, args ...string) *process {
	t.Helper()
	readyFile := filepath.Join(s.dir, name+".ready")
	if err := os.Remove(readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &process{cmd: exec.Command(s.binary(name), append(args, "--ready-file", readyFile)...), exited: make(chan struct{})}
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // it is killed
		close(p.exited)
	}()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if text, err := os.ReadFile(readyFile); err == nil && ready(text) {
			return p
		}
		select {
		case <-p.exited:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("%s did not start again:\n%s", name, text)
		case <-deadline:
			t.Fatalf("%s is not ready after 30 seconds", name)
		case <-poll.C:
		}
	}
}

func (s *subject) ready(t *testing.T, text []byte) bool {
	t.Helper()
	data := filepath.Join(s.dir, "data")
	var at struct{ URL, CA, Token string }
	if err := json.Unmarshal(text, &at); err != nil {
		t.Fatalf("the ready file is half there: %v", err)
	}
	ca, err := os.ReadFile(filepath.Join(data, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(data, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	if s.client == nil {
		s.client = &harness.Client{HTTP: harness.NewHTTPClient(ca), Token: string(token[:len(token)-1])}
	}
	s.client.HTTP.CloseIdleConnections()
	s.client.URL = at.URL
	return true
}

// killDuring lets everybody publish and kills the server in the middle of it.
func (s *subject) killDuring(t *testing.T, publishers []*publisher, round int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	begun := make(chan struct{}, len(publishers))
	for _, p := range publishers {
		wg.Go(func() { p.publishUntilDead(ctx, t, begun) })
	}
	for range publishers {
		<-begun
	}
	// From the first request on, within a few publishes' time; every other kill
	// within the first one's.
	reach := 8 * s.base
	if round%2 == 0 {
		reach = 2 * s.base
	}
	timer := time.NewTimer(rand.N(reach + time.Millisecond))
	<-timer.C
	switch {
	case !s.beside || round%3 == 0:
		s.server.kill()
	case round%3 == 1:
		s.signer.kill()
	default:
		s.killAll()
	}
	wg.Wait()
}

func (s *subject) killAll() {
	s.signer.kill()
	s.server.kill()
}

// A publisher publishes to one repository, and remembers what was acknowledged.
type publisher struct {
	*harness.Publisher
	subject *subject
	next    int // counts the tags' values
	acked   int // since the last kill
	lost    int

	version int64             // newest targets that were acknowledged
	tags    map[string]string // what they say
	pending map[string]string // what the one that was cut off says
	seen    map[string]int64  // versions that clients have seen
}

func newPublisher(t *testing.T, s *subject, repository string) *publisher {
	t.Helper()
	p := &publisher{Publisher: harness.NewPublisher(t, s.client, repository), subject: s, tags: map[string]string{}, seen: map[string]int64{}}
	began := time.Now()
	p.Init(t)
	s.base = max(s.base, time.Since(began))
	p.version = 1
	return p
}

// publishUntilDead publishes one targets version after the other until there is
// no answer.
func (p *publisher) publishUntilDead(ctx context.Context, t *testing.T, begun chan<- struct{}) {
	for first := true; ; first = false {
		p.next++
		tag, digest := fmt.Sprintf("t%d", p.next%5), harness.Digest("%s %d", p.Repository, p.next)
		p.Tag(t, tag, digest)
		file := p.Next(t)
		p.pending = map[string]string{tag: digest}
		if first {
			begun <- struct{}{}
		}
		done, err := p.Client.Publish(ctx, p.Repository, file)
		if err != nil {
			p.lost++
			if (errors.Is(err, api.ErrSignerUnavailable) || errors.Is(err, api.ErrUncertain)) && p.subject.beside {
				return // the signer died, and the server says so, or that it does not know
			}
			if _, answered := errors.AsType[*api.ProblemError](err); answered {
				t.Errorf("%s: version %d was refused: %v", p.Repository, file.Version, err)
			} else if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
				t.Errorf("%s: no end: %v", p.Repository, err)
			}
			return
		}
		p.acked++
		p.version, p.tags[tag], p.pending = file.Version, digest, nil
		for role, version := range done.Versions {
			p.seen[role] = max(p.seen[role], version)
		}
	}
}

// check looks at what the next server serves, then publishes once more: the one
// that was cut off may be there or not, and the next goes on from either.
func (p *publisher) check(t *testing.T) {
	t.Helper()
	targets := p.checkState(t)
	if targets == nil {
		return
	}
	// Go on from what is there, as a publisher would that looks before it signs.
	p.Targets = targets
	p.next++
	tag, digest := "after", harness.Digest("%s after %d", p.Repository, p.next)
	p.Tag(t, tag, digest)
	_, err := p.Client.Publish(context.Background(), p.Repository, p.Next(t))
	if errors.Is(err, tuf.ErrConflict) {
		// What was cut off had been signed; this publish has completed it first.
		if targets = p.checkState(t); targets == nil {
			return
		}
		p.Targets = targets
		p.Tag(t, tag, digest)
		_, err = p.Client.Publish(context.Background(), p.Repository, p.Next(t))
	}
	if err != nil {
		t.Errorf("%s: publish after the restart: %v", p.Repository, err)
		return
	}
	p.version, p.tags[tag], p.pending = p.Targets.Signed.Version, digest, nil
	p.checkState(t)
}

// checkState verifies what is served and returns its targets.
func (p *publisher) checkState(t *testing.T) *tuf.Targets {
	t.Helper()
	state, err := p.Client.State(context.Background(), p.Repository)
	if err != nil {
		t.Errorf("%s: read: %v", p.Repository, err)
		return nil
	}
	trusted, err := tuf.CheckState(p.Repository, state, time.Now(), tuf.Limits{})
	if err != nil {
		t.Errorf("%s: what is served does not verify: %v", p.Repository, err)
		return nil
	}
	for role, version := range state.Versions() {
		if version < p.seen[role] {
			t.Errorf("%s: %s stepped back from version %d to %d", p.Repository, role, p.seen[role], version)
		}
		p.seen[role] = version
	}
	targets := trusted.Role(tuf.RoleTargets)
	if v := targets.Signed.Version; v < p.version || v > p.version+1 || (v > p.version && p.pending == nil) {
		t.Errorf("%s: targets version %d is served, %d was acknowledged", p.Repository, v, p.version)
		return nil
	}
	want := map[string]string{}
	for tag, digest := range p.tags {
		want[tag] = digest
	}
	if targets.Signed.Version > p.version { // the one that was cut off is there, whole
		for tag, digest := range p.pending {
			want[tag] = digest
			p.tags[tag] = digest
		}
		p.version, p.pending = targets.Signed.Version, nil
	}
	got := map[string]string{}
	for _, e := range tuf.Entries(targets) {
		if e.Image.Digest == "" {
			got[e.Image.Tag] = e.Target.Digest
		}
	}
	for tag, digest := range want {
		if got[tag] != digest {
			t.Errorf("%s: %s means %s, and %s was acknowledged", p.Repository, tag, got[tag], digest)
		}
	}
	return targets
}
