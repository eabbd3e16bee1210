package guard

import (
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/internal/jsonline"
	"github.com/signet-trust/signet/tuf"
)

// Verdicts, as the log and the metrics name them.
const (
	VerdictAllow = "allow" // trusted, or exempt by the policy
	VerdictWarn  = "warn"  // not trusted, and let pass by the rule's mode
	VerdictDeny  = "deny"  // refused, or it could not be found out
)

// verdict names what became of a question.
func verdict(d *client.Decision, err error) string {
	switch {
	case err != nil:
		return VerdictDeny
	case !d.Trusted && d.Policy.Exempt == "":
		return VerdictWarn
	}
	return VerdictAllow
}

// An Entry is one line of the decision log. Its JSON is stable.
type Entry struct {
	Time      time.Time        `json:"time"`
	Door      string           `json:"door"`
	Who       string           `json:"who,omitempty"`
	Namespace string           `json:"namespace,omitempty"`
	Object    string           `json:"object,omitempty"`
	Name      string           `json:"name,omitempty"`     // the image, in canonical form where it has one
	Asked     string           `json:"asked,omitempty"`    // the name that was asked for, where a mirror's name stands for another
	Platform  string           `json:"platform,omitempty"` //
	Offered   string           `json:"offered,omitempty"`  // the digest that the registry gives for the name
	Digest    string           `json:"digest,omitempty"`   // that the decision is about
	Verdict   string           `json:"verdict"`            // allow, warn, deny, break-glass
	Rule      string           `json:"rule,omitempty"`     // of the policy
	Mode      client.Mode      `json:"mode,omitempty"`     //
	Cause     tuf.Rule         `json:"cause,omitempty"`    // when untrusted: the rule of verifying that decided; "" for trouble
	Reason    string           `json:"reason,omitempty"`   // when not trusted
	Exempt    string           `json:"exempt,omitempty"`
	Until     string           `json:"until,omitempty"` // when the exemption ends
	Signers   []string         `json:"signers,omitempty"`
	Versions  map[string]int64 `json:"versions,omitempty"`
	Offline   bool             `json:"offline,omitempty"` // answered from what was held, with no server asked
	Age       *float64         `json:"age,omitempty"`     // seconds since a server confirmed what the answer rests on
	Peer      string           `json:"peer,omitempty"`    // who says so, where who is somebody's word
	Took      float64          `json:"took"`              // milliseconds
}

// appendTo writes the entry as encoding/json would.
func (e *Entry) appendTo(buffer []byte) []byte {
	o := jsonline.New(buffer)
	o.Time("time", e.Time)
	o.MustText("door", e.Door)
	o.Text("who", e.Who)
	o.Text("namespace", e.Namespace)
	o.Text("object", e.Object)
	o.Text("name", e.Name)
	o.Text("asked", e.Asked)
	o.Text("platform", e.Platform)
	o.Text("offered", e.Offered)
	o.Text("digest", e.Digest)
	o.MustText("verdict", e.Verdict)
	o.Text("rule", e.Rule)
	o.Text("mode", string(e.Mode))
	o.Text("cause", string(e.Cause))
	o.Text("reason", e.Reason)
	o.Text("exempt", e.Exempt)
	o.Text("until", e.Until)
	o.Texts("signers", e.Signers)
	o.Integers("versions", e.Versions)
	o.True("offline", e.Offline)
	if e.Age != nil {
		o.Number("age", *e.Age)
	}
	o.Text("peer", e.Peer)
	o.Number("took", e.Took)
	return o.End()
}

// A line is one decision to log.
type line struct {
	Question
	Answer
	took time.Duration
}

// write logs decisions by one asker.
func (l *decisionLog) write(now time.Time, asker Asker, of ...line) {
	if l == nil || len(of) == 0 {
		return
	}
	lines := make([]byte, 0, len(of)<<10)
	for _, one := range of {
		lines = append(l.decision(now, asker, one).appendTo(lines), '\n')
	}
	l.add(len(of), lines)
}

// decision is the entry for one.
func (l *decisionLog) decision(now time.Time, asker Asker, of line) *Entry {
	e, d := l.entry(now, asker), of.Decision
	e.Platform, e.Offered = clean(of.Platform), clean(of.Offered)
	e.Name, e.Digest, e.Verdict = clean(d.Image), d.Digest, verdict(d, of.Err)
	e.Rule, e.Mode, e.Asked, e.Exempt, e.Until = d.Policy.Rule, d.Policy.Mode, d.Policy.Asked, clean(d.Policy.Exempt), d.Policy.Until
	e.Cause, e.Reason = d.Rule, clean(d.Reason)
	e.Signers, e.Versions, e.Offline = d.Signers, d.Versions, d.Offline
	if d.Checked != nil {
		age := time.Duration(d.Age).Seconds()
		e.Age = &age
	}
	e.Took = float64(of.took.Microseconds()) / 1000
	return e
}

func (l *decisionLog) breakGlass(now time.Time, asker Asker, reason string) {
	if l == nil {
		return
	}
	e := l.entry(now, asker)
	e.Verdict, e.Reason = "break-glass", clean(reason)
	l.add(1, append(e.appendTo(nil), '\n'))
}

func (l *decisionLog) entry(now time.Time, asker Asker) *Entry {
	return &Entry{Time: now.UTC(), Door: asker.Door, Who: clean(asker.Who), Peer: clean(asker.Peer), Namespace: clean(asker.Namespace), Object: clean(asker.Object)}
}

// oneLine is a text of several lines in one.
func oneLine(s string) string { return clean(strings.ReplaceAll(s, "\n", "; ")) }

// clean makes a text of somebody else's fit for a log.
func clean(s string) string { return door.Clean(s) }
