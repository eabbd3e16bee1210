package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/keystore/yubikey"
)

// A batch is what one command signs and publishes: one step for each repository.
// All of it is shown before the one question; each step is published whole or not
// at all, one after the other.
type batch struct {
	ring  *keyring
	steps []*client.Prepared
}

// agree finds out whether every key that is to sign can, shows what they would
// sign, and asks. No secret was asked for until then.
func (b *batch) agree(ctx context.Context) error {
	if p := b.ring.app.propose; p != nil && p.out != "" && len(b.steps) > 1 {
		return usagef("--out takes one proposal, and this would be one for each of %d repositories", len(b.steps))
	}
	var changes []*client.Change
	for _, step := range b.steps {
		if step.Change != nil {
			changes = append(changes, step.Change)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return b.ring.agree(ctx, changes)
}

// publish publishes the steps and tells what became of each. The first failure
// ends it, unless goOn says that the others do not hang on it: those that were
// published stay so, and the same command again leaves them alone.
func (b *batch) publish(ctx context.Context, goOn bool, tell func(step int, published *client.Published) error) error {
	if b.ring.app.propose != nil {
		return b.leave(ctx)
	}
	var done, failed, left []string
	var trouble error
	for i, step := range b.steps {
		if trouble != nil && (!goOn || ctx.Err() != nil || isKeyTrouble(trouble)) {
			left = append(left, step.Repository)
			continue
		}
		published, err := step.Publish(ctx)
		if err != nil {
			trouble = errors.Join(trouble, err)
			failed = append(failed, step.Repository)
			continue
		}
		done = append(done, step.Repository)
		if err := tell(i, published); err != nil {
			return err // nobody hears what is done: a full disk behind a redirected output
		}
	}
	if trouble != nil && len(b.steps) > 1 {
		app := b.ring.app
		app.note("published: %s", orNone(done))
		app.note("not published: %s", strings.Join(slices.Concat(failed, left), ", "))
		app.note("the same command again is safe: what is published already is left as it is")
	}
	return trouble
}

// publishOne publishes one step for one repository, and prints what came of it.
func (a *app) publishOne(ctx context.Context, ring *keyring, step *client.Prepared, done func(*client.Published) string) error {
	b := &batch{ring: ring, steps: []*client.Prepared{step}}
	if err := b.agree(ctx); err != nil {
		return err
	}
	return b.publish(ctx, false, func(_ int, published *client.Published) error {
		return a.print(published, func(w io.Writer) { fmt.Fprintln(w, done(published)) })
	})
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// isKeyTrouble tells whether the next signature would fail as the last one did.
func isKeyTrouble(err error) bool {
	return slices.ContainsFunc([]error{
		yubikey.ErrTouch, yubikey.ErrPIN, yubikey.ErrBlocked, yubikey.ErrRemoved, yubikey.ErrAbsent, yubikey.ErrBusy,
		yubikey.ErrNoDaemon, keystore.ErrPassphrase, errNoTerminal, errDeclined,
	}, func(is error) bool { return errors.Is(err, is) })
}
