package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// The values of --output.
const (
	outputText = "text"
	outputJSON = "json"
)

// print writes one result to stdout: v as one line of JSON, or what text writes.
func (a *app) print(v any, text func(w io.Writer)) error {
	if a.output == outputJSON {
		if large, ok := v.(interface{ printJSON(io.Writer) error }); ok {
			return large.printJSON(a.stdout)
		}
		return encodeJSON(a.stdout, v)
	}
	w := &errWriter{w: a.stdout}
	text(w)
	return w.err
}

// encodeJSON writes v as JSON, and the end of a line.
func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// note says something on stderr, beside the results.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, "signet: %s\n", fmt.Sprintf(format, args...))
}

// debug says something that only --verbose asks for.
func (a *app) debug(format string, args ...any) {
	if a.verbose {
		a.note(format, args...)
	}
}

// table writes lines whose fields are separated by tabs in columns.
func table(w io.Writer, lines func(w io.Writer)) {
	columns := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	lines(columns)
	columns.Flush()
}

// A cleanWriter lets no control character through but newline and tab, and none
// that cannot be seen: those that turn the direction of text, and those of no
// width, by which two names would look like one. What it writes may come from
// strangers: annotations, names, a server's answer. A terminal would obey them.
type cleanWriter struct{ w io.Writer }

func (c cleanWriter) Write(p []byte) (int, error) {
	_, err := io.WriteString(c.w, clean(string(p)))
	return len(p), err
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, invisible...)) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// invisible are the characters that a reader does not see.
var invisible = []*unicode.RangeTable{
	unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
}

// clip puts what a stranger wrote on one line and cuts it off after n characters,
// and says that it did: it could push everything else off the screen.
func clip(s string, n int) string {
	s = oneLine(s)
	if runes := []rune(s); len(runes) > n {
		return fmt.Sprintf("%s... (%d characters)", string(runes[:n]), len(runes))
	}
	return s
}

// errWriter remembers the first error, so that a full disk behind a redirected
// stdout is not taken for success.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}

// stamp is a time as people and scripts read it.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05Z") }

// until says how far away a time is: "in 3 days", "2 hours ago".
func until(now, at time.Time) string {
	d := at.Sub(now)
	if d < 0 {
		return about(-d) + " ago"
	}
	return "in " + about(d)
}

func about(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}} {
		if d >= 2*unit.size || d >= unit.size && unit.size == time.Minute {
			return plural(int(d.Round(unit.size)/unit.size), unit.name)
		}
	}
	return plural(int(d/time.Second), "second")
}

// plural is "1 key", "2 keys".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
