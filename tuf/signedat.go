package tuf

import (
	"encoding/json"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// maxAhead is how far ahead of a server's clock a file may say that it was signed.
const maxAhead = time.Hour

// SetSigned has a targets or signer's file say when it was signed; the zero time
// makes it say nothing. It is the word of its signers, by their clock: a policy can
// refuse what nobody has looked at for long.
func SetSigned(md *Targets, at time.Time) {
	if at.IsZero() {
		delete(md.Signed.UnrecognizedFields, MemberSigned)
		return
	}
	if md.Signed.UnrecognizedFields == nil {
		md.Signed.UnrecognizedFields = map[string]any{}
	}
	md.Signed.UnrecognizedFields[MemberSigned] = utc(at).Format(time.RFC3339)
}

// SignedAt returns when a targets or signer's file says that it was signed; the zero
// time when it does not say.
func SignedAt(md *Targets) time.Time {
	text, _ := md.Signed.UnrecognizedFields[MemberSigned].(string)
	at, err := parseDate(text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// parseDate reads the one form that TUF's dates have (§4.2).
func parseDate(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !expiresPattern.MatchString(text) || at.Year() > 9998 || at.Year() < 1 {
		return time.Time{}, shapeRefusal("TUF §4.2", "%q is not a time in UTC as 2030-01-02T03:04:05Z", clip(text))
	}
	return at, nil
}

// checkSignedShape holds the member to its form, where a file has it.
func checkSignedShape(signed map[string]json.RawMessage) error {
	raw, ok := signed[MemberSigned]
	if !ok {
		return nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return shapeRefusal("Signet profile: "+MemberSigned, "it is not a time in UTC as \"2030-01-02T03:04:05Z\"")
	}
	if _, err := parseDate(text); err != nil {
		return shapeRefusal("Signet profile: "+MemberSigned, "%s", detail(err))
	}
	return nil
}

// checkSigned refuses a file that says that it was signed in the future. It would
// count as fresh for longer than it is.
func (p *publish) checkSigned(role string, md *metadata.Metadata[metadata.TargetsType]) error {
	if at := SignedAt(md); at.After(p.rules.Now.Add(maxAhead)) {
		return p.refuse(role, md.Signed.Version, RuleClock, "Signet publish", "it says that it was signed at %s, and it is %s now: set the clock of the machine that signs",
			at.Format(time.RFC3339), p.rules.Now.UTC().Format(time.RFC3339))
	}
	return nil
}
