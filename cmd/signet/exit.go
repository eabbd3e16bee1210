package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
	"github.com/signet-trust/signet/workload"
)

// Exit statuses. A verdict and trouble never share one: a script may retry after
// 1, never after 3.
const (
	exitYes       = 0
	exitTrouble   = 1
	exitUsage     = 2
	exitUntrusted = 3
)

// A usageError says that the command line cannot mean anything.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// An advised error brings its own hint, from where more is known than hint could.
type advised struct {
	error
	advice string
}

func (e *advised) Unwrap() error { return e.error }

func advise(err error, format string, args ...any) error {
	return &advised{err, fmt.Sprintf(format, args...)}
}

// An imageError is about an image that was asked about, so that its hint can name it.
type imageError struct {
	error
	asked  string // the image, as it was asked about
	image  string // REPO:TAG, as it would be signed; "": it has no tag
	policy string // that decided on it, as it was named; "": none did
	place  string // where it is written, of an object's image
}

func (e *imageError) Unwrap() error { return e.error }

// An objectError is about a Kubernetes object that a gate turns down before it asks
// about any image: a verdict.
type objectError struct{ error }

func (e *objectError) Unwrap() error { return e.error }

// ofImage makes err one about the image of a decision, by a policy or none.
func ofImage(policy string, d *client.Decision, err error) error {
	about := imageError{asked: d.Image, policy: policy}
	image, parseErr := tuf.ParseImage(d.Image)
	if parseErr != nil {
		return err
	}
	if image.Tag != "" {
		about.image = tuf.TagPath(image.Repository, image.Tag)
	}
	return each(err, func(err error) error {
		one := about
		one.error = err
		return &one
	})
}

// ofObject makes err one about an image of a Kubernetes object in a file: there it is
// mended.
func ofObject(policy string, d *client.Decision, image workload.Image, object, file string, err error) error {
	place := fmt.Sprintf("%s of %s in %s", clip(image.Pointer, 200), clip(object, 200), file)
	return each(ofImage(policy, d, err), func(err error) error {
		about, ok := err.(*imageError)
		if !ok { // whose name is none
			about = &imageError{error: err, policy: policy}
		}
		about.error, about.place = fmt.Errorf("%s: %w", place, about.error), place
		return about
	})
}

// each wraps every one of joined errors, so that each keeps its own line.
func each(err error, wrap func(error) error) (all error) {
	for _, err := range flatten(err) {
		all = errors.Join(all, wrap(err))
	}
	return all
}

// exitCode tells the exit status for err. What cannot mean anything comes first,
// then verdicts: one untrusted image among several decides.
func exitCode(err error) int {
	if err == nil {
		return exitYes
	}
	code := exitTrouble
	for _, err := range flatten(err) {
		if _, ok := errors.AsType[*usageError](err); ok {
			return exitUsage
		}
		_, ofObject := errors.AsType[*objectError](err)
		if ofObject || tuf.IsRefusal(err) { // a server's refusal of what we sent is an api.ProblemError, and trouble
			code = exitUntrusted
		}
	}
	return code
}

// flatten takes joined errors apart, since each gets its own line and hint.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	var texts []string
	for _, err := range joined.Unwrap() {
		list, texts = append(list, flatten(err)...), append(texts, err.Error())
	}
	if strings.Join(texts, "\n") != err.Error() { // it says more than its parts
		return []error{err}
	}
	return list
}

// problem is an error as JSON.
type problem struct {
	Error string   `json:"error"`
	Rule  tuf.Rule `json:"rule,omitempty"`
	Hint  string   `json:"hint,omitempty"`
	Exit  int      `json:"exit"`
}

// report tells err to the person: one line each, and one hint for what can be
// done. In JSON mode it is one object a line, on stderr too, so that stdout holds
// results only.
func (a *app) report(err error) {
	if a.told == nil {
		a.told = map[string]bool{}
	}
	seen := a.told
	for _, err := range flatten(err) {
		err = a.explainKeys(a.explainCA(err))
		p := problem{Error: sentence(err), Rule: tuf.RuleOf(err), Hint: hint(err), Exit: exitCode(err)}
		if seen[p.Error] {
			continue
		}
		seen[p.Error] = true
		if a.output == outputJSON {
			line, err := json.Marshal(p)
			if err == nil {
				fmt.Fprintf(a.stderr, "%s\n", line)
				continue
			}
		}
		a.note("%s", p.Error)
		if p.Hint != "" && !seen[p.Hint] {
			seen[p.Hint] = true
			fmt.Fprintf(a.stderr, "hint: %s\n", p.Hint)
		}
	}
}

// maxSentence is how much of an error is told: strangers write parts of it.
const maxSentence = 2500

// sentence is err's text in one line.
func sentence(err error) string {
	if errors.Is(err, context.Canceled) {
		return "stopped: " + clip(err.Error(), maxSentence)
	}
	return clip(err.Error(), maxSentence)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
