//go:build linux && cgo

package yubikey_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-piv/piv-go/v2/piv"

	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
	virtual "github.com/signet-trust/signet/test/yubikey"
)

// The sticks. libpcsclite finds its daemon once in the life of a process, so all
// tests share them: each plugs in what it needs, fresh from the factory.
const (
	alice = 11111111 // firmware 5.7.4
	bob   = 22222222 // 5.4.3
	carol = 33333333 // 5.2.7: no metadata
)

// touchLimit is how long bob's stick blinks: a test waits for its end.
const touchLimit = 300 * time.Millisecond

var bench *virtual.Bench

func TestMain(m *testing.M) {
	if reader := os.Getenv("SIGNET_TEST_HOLD"); reader != "" {
		os.Exit(holdCard(reader))
	}
	if reader := os.Getenv("SIGNET_TEST_SNATCH"); reader != "" {
		for { // until it is killed
			if card, err := piv.Open(reader); err == nil {
				card.Close()
			}
		}
	}
	if os.Getenv("SIGNET_TEST_LIST") != "" {
		os.Exit(listSticks())
	}
	if os.Getenv("SIGNET_TEST_NOBODY") != "" {
		os.Exit(listAsNobody())
	}
	if os.Getenv("SIGNET_TEST_SERVICE_DIES") != "" {
		os.Exit(loseService())
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	bench, err = startBench(virtual.Config{Sticks: []virtual.StickConfig{
		{Serial: alice, Absent: true},
		{Serial: bob, Firmware: "5.4.3", Absent: true, TouchLimit: touchLimit},
		{Serial: carol, Firmware: "5.2.7", Absent: true},
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer bench.Close()
	return m.Run()
}

// holdCard is another program: it keeps the card until its input ends.
func holdCard(reader string) int {
	card, err := piv.Open(reader)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer card.Close()
	fmt.Println("held")
	io.Copy(io.Discard, os.Stdin)
	return 0
}

// listSticks prints what a session says.
func listSticks() int {
	session := yubikey.NewSession(yubikey.Config{Asker: &person{}})
	defer session.Close()
	_, err := session.List(context.Background())
	fmt.Println(err)
	if !errors.Is(err, yubikey.ErrNoDaemon) {
		return 1
	}
	return 0
}

// listAsNobody prints what a session says to a user who may nothing.
func listAsNobody() int {
	if os.Getuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	session := yubikey.NewSession(yubikey.Config{Asker: &person{}})
	defer session.Close()
	_, err := session.List(context.Background())
	fmt.Println(err)
	if !errors.Is(err, yubikey.ErrNotAllowed) || errors.Is(err, yubikey.ErrNoDaemon) {
		return 1
	}
	return 0
}

// loseService has a pcscd of its own, which dies between two signatures.
func loseService() int {
	bench, err := startBench(virtual.Config{Sticks: []virtual.StickConfig{{Serial: alice, PIN: rightPIN}}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer bench.Close()
	ctx := context.Background()
	session := yubikey.NewSession(yubikey.Config{Asker: types(rightPIN), Wait: -1})
	defer session.Close()
	stick, err := session.Open(ctx, 0)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	made, err := stick.Generate(ctx, yubikey.Request{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	key, err := stick.Key(ctx, made.Slot)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if _, err := key.Sign(ctx, []byte("x")); err != nil {
		fmt.Println(err)
		return 1
	}
	bench.Close()
	_, err = key.Sign(ctx, []byte("x"))
	fmt.Println("sign:", err)
	_, next := session.Find(ctx, made.Key.ID())
	fmt.Println("find:", next)
	if !errors.Is(err, yubikey.ErrNoDaemon) || !errors.Is(next, yubikey.ErrNoDaemon) {
		return 1
	}
	return 0
}

// startBench starts sticks for this process, which can do so once.
func startBench(config virtual.Config) (*virtual.Bench, error) {
	bench, err := virtual.Start(config)
	if err != nil {
		return nil, err
	}
	for _, env := range bench.Env() {
		name, value, _ := strings.Cut(env, "=")
		os.Setenv(name, value)
	}
	return bench, nil
}

// plug has these sticks plugged in and no others, empty, with PIN and PUK of
// their own, and touches at once.
func plug(t *testing.T, serials ...uint32) *virtual.Stick {
	t.Helper()
	insert(t, serials...)
	for _, serial := range serials {
		stick := bench.Stick(serial)
		if err := errors.Join(stick.SetPIN(rightPIN), stick.SetPUK(rightPUK)); err != nil {
			t.Fatal(err)
		}
	}
	return bench.Stick(serials[0])
}

// insert has these sticks plugged in and no others, as they come from the factory.
func insert(t *testing.T, serials ...uint32) *virtual.Stick {
	t.Helper()
	for _, stick := range bench.Sticks() {
		if !slices.Contains(serials, stick.Serial()) {
			pullOut(t, stick)
			continue
		}
		if err := stick.Reset(); err != nil {
			t.Fatal(err)
		}
		stick.SetTouch(virtual.Auto)
		pushIn(t, stick)
		t.Cleanup(func() { stick.SetTouch(virtual.Refuse) }) // lets go of whoever waits
	}
	if len(serials) == 0 {
		return nil
	}
	return bench.Stick(serials[0])
}

// in tells which sticks are plugged in. pcscd takes half a second to notice that
// one comes or goes, so they stay in from one test to the next.
var in = map[uint32]bool{}

func pullOut(t *testing.T, stick *virtual.Stick) {
	t.Helper()
	if !in[stick.Serial()] {
		return
	}
	in[stick.Serial()] = false
	if err := stick.Remove(); err != nil {
		t.Fatal(err)
	}
}

func pushIn(t *testing.T, stick *virtual.Stick) {
	t.Helper()
	if in[stick.Serial()] {
		return
	}
	if err := stick.Insert(); err != nil {
		t.Fatal(err)
	}
	in[stick.Serial()] = true
}

// A person types the next of its PINs at each question, the last one for ever.
type person struct {
	mu        sync.Mutex
	answers   map[string]string // by the secret that is asked for, else
	pins      []string
	asked     []string
	questions []yubikey.Question
	given     [][]byte // what was handed out
	notices   []string
	noticed   func(string)
}

func (p *person) StickSecret(_ context.Context, q yubikey.Question) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, q.Prompt)
	p.questions = append(p.questions, q)
	if answer := []byte(p.answers[q.Secret]); len(answer) > 0 {
		p.given = append(p.given, answer)
		return answer, nil
	}
	if len(p.pins) == 0 {
		return nil, errors.New("nobody at the keyboard")
	}
	pin := []byte(p.pins[0])
	if len(p.pins) > 1 {
		p.pins = p.pins[1:]
	}
	p.given = append(p.given, pin)
	return pin, nil
}

func (p *person) Notice(text string) {
	p.mu.Lock()
	p.notices = append(p.notices, text)
	p.mu.Unlock()
	if p.noticed != nil {
		p.noticed(text)
	}
}

func (p *person) heard(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.notices, func(n string) bool { return strings.Contains(n, text) })
}

func types(pins ...string) *person { return &person{pins: pins} }

const (
	rightPIN, wrongPIN = "246813", "654321"
	rightPUK           = "87654321"
	factoryPIN         = "123456"
	factoryPUK         = "12345678"
)

func newSession(t *testing.T, p *person) *yubikey.Session {
	s := yubikey.NewSession(yubikey.Config{Asker: p, Wait: -1})
	t.Cleanup(func() { s.Close() })
	return s
}

func open(t *testing.T, p *person, serial uint32) *yubikey.Stick {
	t.Helper()
	stick, err := newSession(t, p).Open(t.Context(), serial)
	if err != nil {
		t.Fatal(err)
	}
	return stick
}

// makeKey makes a key and returns it ready to sign.
func makeKey(t *testing.T, stick *yubikey.Stick, r yubikey.Request) *yubikey.Key {
	t.Helper()
	made, err := stick.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	key, err := stick.Key(t.Context(), made.Slot)
	if err != nil {
		t.Fatal(err)
	}
	if key.Key().ID() != made.Key.ID() {
		t.Fatalf("made %s, got %s", made.Key.ID(), key.Key().ID())
	}
	return key
}

func sign(t *testing.T, key *yubikey.Key) error {
	t.Helper()
	msg := []byte("root version 1")
	sig, err := key.Sign(keystore.WithReason(t.Context(), "root version 1 of example.com/app"), msg)
	if err != nil {
		return err
	}
	if err := key.Key().Verify(msg, sig); err != nil {
		t.Fatal(err)
	}
	return nil
}

// direct opens a stick past us, to set it up. No session may have it open.
func direct(t *testing.T, stick *virtual.Stick, f func(*piv.YubiKey) error) {
	t.Helper()
	card, err := piv.Open(stick.Reader())
	if err != nil {
		t.Fatal(err)
	}
	defer card.Close()
	if err := f(card); err != nil {
		t.Fatal(err)
	}
}

// block spends the tries for the PIN or the PUK.
func block(t *testing.T, stick *virtual.Stick, secret string) {
	t.Helper()
	direct(t, stick, func(card *piv.YubiKey) error {
		for range 3 {
			if secret == yubikey.PIN {
				card.VerifyPIN(wrongPIN)
			} else {
				card.SetPUK("00000000", "00000000")
			}
		}
		return nil
	})
}

// otherProgram holds a stick until the returned function is called.
func otherProgram(t *testing.T, stick *virtual.Stick) (release func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SIGNET_TEST_HOLD="+stick.Reader())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() {
		in.Close()
		cmd.Wait()
	})
	t.Cleanup(release)
	said := make([]byte, 64)
	if n, _ := out.Read(said); strings.TrimSpace(string(said[:n])) != "held" {
		t.Fatalf("the other program: %s", said[:n])
	}
	return release
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}
