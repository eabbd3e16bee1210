package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"
)

// Trouble with asking.
var (
	errNoTerminal  = errors.New("there is no terminal to ask at")
	errDeclined    = errors.New("nothing was done, since the answer was not yes")
	errEmptySecret = errors.New("it is empty")
)

// maxSecret is more than any PIN or passphrase needs. What is longer is some
// other file.
const maxSecret = 1024

// A secretSource says where the passphrases of key files come from, when not
// from a person.
type secretSource struct {
	files []string
	fd    int // -1: none
}

// read reads the passphrases that the flags name; none means that a person is to
// be asked. They are never taken from arguments or the environment, which other
// processes can read.
func (s *secretSource) read(open descriptors) (secrets [][]byte, err error) {
	for _, path := range s.files {
		secret, err := readSecretFile(path)
		if err != nil {
			return nil, fmt.Errorf("--passphrase-file %s: %w", path, err)
		}
		secrets = append(secrets, secret)
	}
	if s.fd >= 0 {
		flag := fmt.Sprintf("--passphrase-fd %d", s.fd)
		secret, err := open.read(flag, s.fd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// readSecret reads one line. It refuses what cannot be meant as a secret.
func readSecret(r io.Reader) ([]byte, error) {
	raw := make([]byte, maxSecret+2) // at once: a buffer that grows leaves copies behind
	n, err := io.ReadFull(r, raw)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(raw[:n], []byte("\n")), []byte("\r"))
	switch {
	case err != nil:
	case len(secret) == 0:
		err = errEmptySecret
	case len(secret) > maxSecret:
		err = fmt.Errorf("it is longer than %d bytes", maxSecret)
	case bytes.ContainsAny(secret, "\n\x00"):
		err = errors.New("it has more than one line")
	}
	if err != nil {
		clear(raw)
		return nil, err
	}
	return secret, nil
}

// A prompter asks for passphrases of key files, and remembers nothing. It fits
// keystore.Prompter.
type prompter struct {
	app   *app
	given [][]byte // what files or a descriptor gave, to be tried in turn
	next  int
}

// Secret returns the next passphrase that the flags gave, the last one again when
// there are no more, or asks a person.
func (p *prompter) Secret(ctx context.Context, prompt string) ([]byte, error) {
	if len(p.given) > 0 {
		i := min(p.next, len(p.given)-1)
		p.next++
		return bytes.Clone(p.given[i]), nil // whoever asked overwrites it
	}
	secret, err := p.app.askPerson(ctx, prompt)
	if errors.Is(err, errNoTerminal) {
		return nil, advise(fmt.Errorf("%s: %w", strings.TrimSuffix(prompt, ": "), err), "give it by --passphrase-file FILE or --passphrase-fd N")
	}
	return secret, err
}

// Notice shows one line at once.
func (p *prompter) Notice(text string) { p.app.note("%s", text) }

// askSecret reads a line at the terminal without showing it.
func (a *app) askSecret(ctx context.Context, prompt string) ([]byte, error) {
	if !a.interactive() {
		return nil, errNoTerminal
	}
	fd := int(a.stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(a.stderr, prompt)
	secret, err := wait(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	fmt.Fprintln(a.stderr)
	defer clear(secret) // what follows is a copy
	if err != nil {
		return nil, errors.Join(err, term.Restore(fd, before))
	}
	return readSecret(bytes.NewReader(secret))
}

// confirm asks for a yes. --yes answers it; without a terminal nobody can, and
// nothing is done.
func (a *app) confirm(ctx context.Context, question string) error {
	if a.yes {
		return nil
	}
	if !a.interactive() {
		return advise(fmt.Errorf("%s %w", question, errNoTerminal), "add --yes to answer yes beforehand")
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	line, err := wait(ctx, func() (string, error) { return bufio.NewReader(a.stdin).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(a.stderr)
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errDeclined
	}
	return nil
}

// wait runs a read that cannot be stopped, but stops waiting for it with ctx.
func wait[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := read()
		done <- answer{value, err}
	}()
	select {
	case got := <-done:
		return got.value, got.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// interactive tells whether somebody can be asked.
func (a *app) interactive() bool {
	return term.IsTerminal(int(a.stdin.Fd()))
}
