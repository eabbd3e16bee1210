package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/twpayne/go-pinentry/v4"
)

// askPinentry has a program of GnuPG's pinentry family ask for a secret. It is
// told which terminal is ours, for those that ask there.
func (a *app) askPinentry(ctx context.Context, prompt string) ([]byte, error) {
	program := a.secrets.pinentry
	if _, err := exec.LookPath(program); err != nil {
		return nil, advise(fmt.Errorf("--pinentry %s: there is no such program: %w", program, err),
			"install one (Debian: apt install pinentry-tty, pinentry-curses or pinentry-gnome3), or leave --pinentry out to be asked at the terminal")
	}
	question := strings.TrimSuffix(prompt, ": ")
	secret, err := wait(ctx, func() ([]byte, error) {
		options := []pinentry.ClientOption{
			pinentry.WithBinaryName(program), pinentry.WithTitle("signet"),
			pinentry.WithDesc(clean(question)), pinentry.WithPrompt("Answer:"),
		}
		if tty := a.terminal(); tty != "" {
			options = append(options, pinentry.WithOption(pinentry.OptionTTYName+"="+tty))
		}
		if kind := os.Getenv("TERM"); kind != "" {
			options = append(options, pinentry.WithOption(pinentry.OptionTTYType+"="+kind))
		}
		client, err := pinentry.NewClient(options...)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		answer, err := client.GetPIN()
		return []byte(answer.PIN), err
	})
	defer clear(secret)
	switch {
	case pinentry.IsCancelled(err):
		return nil, fmt.Errorf("%s: %w", question, errDeclined)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil: // its words could quote what it was told: the error is ours
		return nil, advise(fmt.Errorf("%s: %s gave no answer: %w", question, program, plainAssuan(err)),
			"does it run alone? a pinentry for the terminal needs one (set GPG_TTY=$(tty)), one with windows a desktop")
	}
	return readSecret(strings.NewReader(string(secret)))
}

// plainAssuan keeps a pinentry's own error, and nothing else: any other could
// hold a line of what was said, and so the secret.
func plainAssuan(err error) error {
	if own, ok := errors.AsType[*pinentry.AssuanError](err); ok {
		return own
	}
	return errors.New("it broke off")
}

// terminal is the name of the terminal at which people are, or "".
func (a *app) terminal() string {
	if name := os.Getenv("GPG_TTY"); name != "" {
		return name
	}
	if !a.interactive() {
		return ""
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", a.stdin.Fd()))
	if err != nil || !strings.HasPrefix(name, "/dev/") {
		return "/dev/tty"
	}
	return name
}
