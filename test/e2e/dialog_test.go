package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// dialog runs a program at a terminal of its own, where somebody answers who
// waits for each question, as people do and as programs demand that throw away
// what was typed before they asked. Each line of the file is one of:
//
//	see TEXT       wait until the terminal shows TEXT, after what was seen before
//	type TEXT      type a line
//	stick N ...    do something to a YubiKey, as the script's command
//	ends N         the exit status, at last; 0 when it is not said
//
// What the terminal showed is the command's stdout.
func dialog(ts *testscript.TestScript, s *scene, args []string) error {
	quoted := make([]string, len(args)-1)
	for i, arg := range args[1:] {
		quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	// util-linux's script gives it the terminal.
	cmd := exec.Command("script", "--quiet", "--return", "--flush", "--command", "exec "+strings.Join(quoted, " "), os.DevNull)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "WORK", "TMPDIR", "PCSCLITE_CSOCK_NAME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, "TERM=dumb", "SHELL=/bin/sh")
	screen := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = screen, screen
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	want, seen := "0", 0
	step := func(verb, text string) error {
		switch verb {
		case "see":
			return poll(ctx, func() (bool, error) {
				shown := screen.String()
				at := strings.Index(shown[seen:], text)
				if at >= 0 {
					seen += at + len(text)
				}
				return at >= 0, nil
			})
		case "type":
			_, err := fmt.Fprintf(keyboard, "%s\n", text)
			return err
		case "stick":
			return stickCommand(ts, s, strings.Fields(text))
		case "ends":
			want = text
			return nil
		}
		return errors.New("unknown")
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		verb, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if err := step(verb, os.Expand(text, ts.Getenv)); err != nil {
			return errors.Join(fmt.Errorf("%s: %w\n%s", line, err, screen), cmd.Process.Kill())
		}
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("it does not end:\n%s", screen), cmd.Process.Kill())
	}
	shown := bytes.ReplaceAll([]byte(screen.String()), []byte("\r\n"), []byte("\n"))
	if _, err := ts.Stdout().Write(shown); err != nil {
		return err
	}
	got, err := status(err)
	if err == nil && fmt.Sprint(got) != want {
		err = fmt.Errorf("exit status %d, expected %s", got, want)
	}
	return err
}
