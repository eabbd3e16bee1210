package kubernetes

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/internal/jsonline"
	"github.com/signet-trust/signet/workload"
)

// maxTold is how many images one refusal tells about.
const maxTold = 20

// tell says to whoever sent an object which images may not run, why, and what to do.
func tell(forbidden []finding, of int) string {
	var b strings.Builder
	switch {
	case of == 1:
		b.WriteString("the image may not run")
	default:
		fmt.Fprintf(&b, "%d of %d images may not run", len(forbidden), of)
	}
	for i, f := range forbidden {
		if i == maxTold {
			fmt.Fprintf(&b, "\n... and %d more", len(forbidden)-maxTold)
			break
		}
		fmt.Fprintf(&b, "\n%s\n  why: %s\n  next: %s", f.title(), why(f.ruling), next(f.ruling, f.image.Value))
	}
	return b.String()
}

// title names an image and what it is to its pod.
func (f *finding) title() string {
	title := show(f.image.Value)
	if f.image.Container == "" {
		return title
	}
	kind := map[workload.Kind]string{workload.KindInit: "init container", workload.KindContainer: "container",
		workload.KindEphemeral: "ephemeral container", workload.KindVolume: "volume"}[f.image.Kind]
	return kind + " " + show(f.image.Container) + ": " + title
}

// why is a refusal in one line.
func why(r ruling) string {
	text := oneLine(r.err)
	// The policy's own refusals name their rule.
	if r.decision != nil && r.decision.Policy != nil && r.decision.Policy.Rule != "" && !strings.Contains(text, "(policy: ") {
		text += fmt.Sprintf(" (policy rule %s)", clip(r.decision.Policy.Rule))
	}
	return text
}

// next is what a developer can do about a refusal, in one line.
func next(r ruling, image string) string {
	if errors.Is(r.err, errLate) {
		return "try again; if it stays so, ask whoever runs this cluster whether the trust server answers"
	}
	return door.Next(show(image), r.decision, r.err)
}

// audit is a finding for an audit log, in JSON.
func (f *finding) audit() string {
	o := jsonline.New(make([]byte, 0, 512))
	o.MustText("container", clip(f.image.Container))
	o.MustText("image", clip(f.image.Value))
	o.MustText("verdict", f.verdict)
	if d := f.decision; d != nil {
		if d.Policy != nil {
			o.Text("rule", d.Policy.Rule)
		}
		o.Text("digest", d.Digest)
		if d.Age != 0 {
			o.Text("age", time.Duration(d.Age).String())
		}
	}
	if f.err != nil {
		o.Text("reason", oneLine(f.err))
	}
	return string(o.End())
}

// maxLine is how long a line may be that says what others wrote.
const maxLine = 500

// oneLine is an error in one line.
func oneLine(err error) string {
	return clip(strings.Join(strings.Fields(err.Error()), " "))
}

// clip makes what a stranger wrote short and visible: one that cannot be printed is
// quoted.
func clip(s string) string {
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "") + "..."
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// show is clip for any JSON value, and quotes what a person could misread.
func show(value any) string {
	s, ok := value.(string)
	if !ok {
		return fmt.Sprintf("%T", value)
	}
	if s == "" || strings.ContainsAny(s, " \"'`") {
		return strconv.Quote(clip(s))
	}
	return clip(s)
}
