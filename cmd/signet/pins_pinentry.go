package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/twpayne/go-pinentry/v4"
)

// checkPinentry refuses a program that is not there.
func (a *app) checkPinentry() error {
	if a.secrets.pinentry == "" {
		return nil
	}
	if _, err := exec.LookPath(a.secrets.pinentry); err != nil {
		return advise(fmt.Errorf("--pinentry %s: there is no such program", a.secrets.pinentry),
			"install one (Debian: apt install pinentry-tty, pinentry-curses or pinentry-gnome3), or leave --pinentry out to be asked at the terminal")
	}
	return nil
}

// askPinentry has a program of GnuPG's pinentry family ask for a secret. It is
// told which terminal is ours, for those that ask there.
func (a *app) askPinentry(ctx context.Context, prompt string) ([]byte, error) {
	program := a.secrets.pinentry
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
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, advise(fmt.Errorf("%s: %s gave no answer: %s", question, program, plainAssuan(err)),
			"was it cancelled? a pinentry for the terminal needs one (GPG_TTY=$(tty) names it), one with windows needs a desktop")
	}
	return readSecret(bytes.NewReader(secret))
}

// plainAssuan keeps a pinentry's own words, and nothing else: any other error
// could hold a line of what was said, and so the secret.
func plainAssuan(err error) string {
	if own, ok := errors.AsType[*pinentry.AssuanError](err); ok {
		return own.Description
	}
	return "it broke off"
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
