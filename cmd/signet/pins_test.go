package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore/yubikey"
)

// atNoTerminal is an app whose standard input is no terminal, as in a pipeline.
func atNoTerminal(t *testing.T) *app {
	t.Helper()
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	a := newApp(stdin, stdin, stdin)
	a.stdout, a.stderr = io.Discard, io.Discard
	return a
}

func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBySerial(t *testing.T) {
	for in, want := range map[string]stickSecret{
		"pin":             {value: []byte("pin")},
		"12345678=pin":    {serial: 12345678, value: []byte("pin")},
		"12345678=a=b":    {serial: 12345678, value: []byte("a=b")},
		"a=b":             {value: []byte("a=b")},
		"./1=b":           {value: []byte("./1=b")},
		"0=b":             {value: []byte("0=b")}, // no stick has the number 0
		"99999999999=pin": {value: []byte("99999999999=pin")},
		"-1=b":            {value: []byte("-1=b")},
		"1=":              {serial: 1, value: []byte("")},
	} {
		serial, rest := bySerial(in)
		if serial != want.serial || rest != string(want.value) {
			t.Errorf("%q: got %d, %q", in, serial, rest)
		}
	}
}

// Each stick gets its own secret, the others the one without a number, and what
// was given for one secret never answers for another.
func TestSecretsBySerial(t *testing.T) {
	a := atNoTerminal(t)
	pins := a.secrets.source(yubikey.PIN)
	pins.files = []string{secretFile(t, "common1"), "22222222=" + secretFile(t, "bobs-pin")}
	a.secrets.source(yubikey.PUK).files = []string{"11111111=" + secretFile(t, "alicePUK")}
	asker, err := a.newAsker()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		secret string
		serial uint32
		want   string // "": nobody can be asked
	}{
		{yubikey.PIN, 11111111, "common1"},
		{yubikey.PIN, 22222222, "bobs-pin"},
		{yubikey.PUK, 11111111, "alicePUK"},
		{yubikey.PUK, 22222222, ""},
		{yubikey.NewPIN, 11111111, ""},
		{yubikey.NewPUK, 11111111, ""},
	} {
		got, err := asker.StickSecret(t.Context(), yubikey.Question{Secret: test.secret, Serial: test.serial, Prompt: "Secret: "})
		if string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s of %d: got %q, %v", test.secret, test.serial, got, err)
		}
		if test.want == "" && (!errors.Is(err, errNoTerminal) || !strings.Contains(hint(err), "--"+stickFlagNames[test.secret]+"-file")) {
			t.Errorf("%s of %d: %v, hint %q", test.secret, test.serial, err, hint(err))
		}
		clear(got) // as whoever asked does: the next answer is whole
	}
	given := asker.given[0].value
	asker.forget()
	if !bytes.Equal(given, make([]byte, len(given))) || asker.given != nil {
		t.Error("the secrets are still there after forget")
	}
}

// What is wrong with a source is told with the flag, and never with a secret.
func TestSecretSourcesThatAreWrong(t *testing.T) {
	good := secretFile(t, "864209")
	for _, test := range []struct {
		claim      string
		files, fds []string
		usage      bool
		says       string
	}{
		{"no such file", []string{"nosuch"}, nil, false, "--pin-file nosuch: there is no such file"},
		{"no such file, for one stick", []string{"7=nosuch"}, nil, false, "--pin-file nosuch: there is no such file"},
		{"a folder", []string{t.TempDir()}, nil, false, "is a directory"},
		{"empty", []string{secretFile(t, "")}, nil, false, "it is empty"},
		{"two lines", []string{secretFile(t, "864209\n864209")}, nil, false, "more than one line"},
		{"two for all", []string{good, good}, nil, true, "the PIN of every YubiKey is given twice"},
		{"two for one", []string{"7=" + good, "7=" + good}, nil, true, "the PIN of YubiKey 7 is given twice"},
		{"file and descriptor", []string{good}, []string{"3"}, true, "given twice"},
		{"a PIN where a descriptor goes", nil, []string{"864209"}, true, "expected the number of a file descriptor"},
		{"no number", nil, []string{"7=864209x"}, true, "expected the number of a file descriptor"},
		{"a closed descriptor", nil, []string{"999"}, false, "--pin-fd 999: "},
	} {
		t.Run(test.claim, func(t *testing.T) {
			source := stickSource{secret: yubikey.PIN, files: test.files, fds: test.fds}
			given, err := source.read(descriptors{})
			if err == nil || given != nil {
				t.Fatalf("got %d secrets, %v", len(given), err)
			}
			_, usage := errors.AsType[*usageError](err)
			if usage != test.usage || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "864209") {
				t.Errorf("got %v (usage %v), want %q", err, usage, test.says)
			}
		})
	}
}

func TestPatience(t *testing.T) {
	a := atNoTerminal(t)
	if got := a.patience(); got != 0 {
		t.Errorf("waits %s for nobody", got)
	}
	cmd := &cobra.Command{}
	a.waitFlag(cmd)
	if err := cmd.ParseFlags([]string{"--wait-for-yubikey", "90s"}); err != nil {
		t.Fatal(err)
	}
	if got := a.patience(); got != 90*time.Second {
		t.Errorf("got %s", got)
	}
}

// Zero is an answer, too: a stick that is held is not waited for.
func TestPatienceWithAStickThatIsHeld(t *testing.T) {
	for _, test := range []struct {
		args []string
		want time.Duration // as yubikey.Config has it
	}{
		{nil, 0},
		{[]string{"--wait-for-yubikey", "90s"}, 90 * time.Second},
		{[]string{"--wait-for-yubikey", "0"}, -1},
	} {
		a := atNoTerminal(t)
		cmd := &cobra.Command{}
		a.waitFlag(cmd)
		if err := cmd.ParseFlags(test.args); err != nil {
			t.Fatal(err)
		}
		if got := a.patienceWithHolder(); got != test.want {
			t.Errorf("%q: got %s, want %s", test.args, got, test.want)
		}
	}
}

// A person who mistypes a PIN is asked again while tries are left; a file is not
// read again, since each wrong PIN costs a try.
func TestRetry(t *testing.T) {
	wrong := func(left int) error { return fmt.Errorf("sign: %w", &yubikey.PINError{Serial: 7, Left: left}) }
	for _, test := range []struct {
		claim   string
		typed   bool
		answers []error
		calls   int
	}{
		{"right", true, []error{nil}, 1},
		{"wrong, then right", true, []error{wrong(2), wrong(1), nil}, 3},
		{"wrong to the end", true, []error{wrong(2), wrong(1), wrong(0)}, 3},
		{"too short, then right", true, []error{fmt.Errorf("%w: too short", yubikey.ErrPIN), nil}, 2},
		{"unfit, then right", true, []error{fmt.Errorf("%w: they differ", yubikey.ErrNewSecret), nil}, 2},
		{"wrong in a file", false, []error{wrong(2), nil}, 1},
		{"not about secrets", true, []error{yubikey.ErrTouch, nil}, 1},
	} {
		t.Run(test.claim, func(t *testing.T) {
			a := atNoTerminal(t)
			ring := &keyring{app: a, asker: &asker{app: a}}
			calls := 0
			err := ring.retry(func() error {
				ring.asker.typed = test.typed
				calls++
				return test.answers[calls-1]
			})
			if calls != test.calls || !errors.Is(err, test.answers[test.calls-1]) {
				t.Errorf("asked %d times, %v", calls, err)
			}
		})
	}
}

// A PUK from a file that is wrong is not tried again because the new PIN was typed:
// the third try would block it for good.
func TestRetryWithASecretOfAFile(t *testing.T) {
	for _, test := range []struct {
		given stickSecret
		wrong yubikey.PINError
		calls int
	}{
		{stickSecret{secret: yubikey.PUK, value: []byte("00000000")}, yubikey.PINError{Serial: 7, PUK: true, Left: 2}, 1},
		{stickSecret{secret: yubikey.PUK, serial: 7, value: []byte("00000000")}, yubikey.PINError{Serial: 7, PUK: true, Left: 2}, 1},
		{stickSecret{secret: yubikey.PIN, value: []byte("000000")}, yubikey.PINError{Serial: 7, Left: 2}, 1},
		{stickSecret{secret: yubikey.PIN, value: []byte("000000")}, yubikey.PINError{Serial: 7, PUK: true, Left: 2}, 2},
		{stickSecret{secret: yubikey.PUK, serial: 8, value: []byte("00000000")}, yubikey.PINError{Serial: 7, PUK: true, Left: 2}, 2},
	} {
		a := atNoTerminal(t)
		ring := &keyring{app: a, asker: &asker{app: a, given: []stickSecret{test.given}}}
		calls := 0
		err := ring.retry(func() error {
			ring.asker.typed = true // the new PIN
			if calls++; calls == 2 {
				return nil
			}
			return &test.wrong
		})
		if calls != test.calls || (err == nil) != (test.calls == 2) {
			t.Errorf("%s of %d given, PUK %v wrong: %d calls, %v", test.given.secret, test.given.serial, test.wrong.PUK, calls, err)
		}
	}
}

// A PUK that is made is never the one that sticks are sold with, has 8 digits,
// and goes nowhere when there is no terminal to show it at.
func TestRandomPUK(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		puk, err := randomPUK()
		if err != nil || len(puk) != 8 || strings.Trim(string(puk), "0123456789") != "" {
			t.Fatalf("got %q, %v", puk, err)
		}
		seen[string(puk)] = true
	}
	if len(seen) < 95 || seen["12345678"] {
		t.Errorf("%d different ones of 100", len(seen))
	}
}

// Who has a PUK made is not asked to repeat it; nobody else gets one made.
func TestPUKMaker(t *testing.T) {
	first := yubikey.Question{Secret: yubikey.NewPUK}
	again := yubikey.Question{Secret: yubikey.NewPUK, Again: true}
	pin := yubikey.Question{Secret: yubikey.NewPIN}
	for _, test := range []struct {
		claim string
		maker pukMaker
		q     yubikey.Question
		want  bool
	}{
		{"on request", pukMaker{always: true}, first, true},
		{"on request, its repetition", pukMaker{always: true}, again, true},
		{"a PIN never", pukMaker{always: true}, pin, false},
		{"a person may choose", pukMaker{}, first, false},
		{"a person repeats what was chosen", pukMaker{}, again, false},
		{"nobody repeats what was made", pukMaker{made: []byte("1")}, again, true},
		{"a second stick is asked for anew", pukMaker{made: []byte("1")}, first, false},
	} {
		if got := test.maker.answers(test.q); got != test.want {
			t.Errorf("%s: got %v", test.claim, got)
		}
	}
}
