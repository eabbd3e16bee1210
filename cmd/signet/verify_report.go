package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/cmd/internal/reports"
	"github.com/signet-trust/signet/tuf"
)

// results put subjects and their answers together.
func results(subjects []*subject, answers []*answer) []reports.Result {
	list := make([]reports.Result, 0, len(answers))
	for i, answer := range answers {
		r := result(answer.decision.Image, answer.err)
		if answer.err == nil {
			r.Message = runs(answer.decision)
			if d := answer.decision; d.Policy != nil && !d.Trusted {
				r.Message += ": " + clean(oneLine(ruled(d)))
			}
		}
		if p := subjects[i].place; p != nil {
			r.File, r.Line, r.What = p.file.Name, p.use().Line, clean(oneLine(p.use().What+": "+p.use().Value))
		}
		list = append(list, r)
	}
	return list
}

// result is what came out, by err.
func result(what string, err error) reports.Result {
	r := reports.Result{What: clean(oneLine(what)), Rule: string(tuf.RuleOf(err))}
	switch {
	case err == nil:
		r.Verdict = reports.Trusted
		return r
	case tuf.IsRefusal(err):
		r.Verdict = reports.Untrusted
	default:
		r.Verdict, r.Rule = reports.Unknown, "not-found-out"
	}
	r.Message = clean(sentence(err))
	if h := hint(err); h != "" {
		r.Message += "; " + clean(h)
	}
	return r
}

// report writes the reports that were asked for. unread is what was wrong with files.
func (flags *fileFlags) report(list []reports.Result, unread error) error {
	for _, err := range flatten(unread) {
		list = append(list, result("file", err))
	}
	write := func(flag, path string, encode func() ([]byte, error)) error {
		if path == "" {
			return nil
		}
		data, err := encode()
		if err == nil {
			err = program.WriteFile(path, append(data, '\n'), 0o644)
		}
		if at, ok := errors.AsType[*fs.PathError](err); ok {
			err = at.Err // what it names is a file that is renamed in the end
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", flag, path, err)
		}
		return nil
	}
	return errors.Join(
		write("--sarif", flags.sarif, func() ([]byte, error) { return reports.SARIF(thisVersion().Version, list) }),
		write("--junit", flags.junit, func() ([]byte, error) { return reports.JUnit(list) }),
	)
}
