package door

import (
	"errors"
	"strings"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// TestNext names the image and the person to ask.
func TestNext(t *testing.T) {
	const image, pinned = "r.example:5000/app:1.0", "r.example:5000/app@sha256:00"
	refused := func(rule tuf.Rule) error { return &tuf.Refusal{Repository: "r.example:5000/app", Rule: rule} }
	for name, test := range map[string]struct {
		image string
		d     *client.Decision
		err   error
		want  string
	}{
		"unsigned":          {image, nil, refused(tuf.RuleAbsent), "signet sign " + image},
		"another digest":    {pinned, nil, refused(tuf.RuleDigest), "(signet verify r.example:5000/app:TAG prints it)"},
		"an attack":         {image, nil, refused(tuf.RuleRollback), "ask its operator"},
		"timestamp expired": {image, nil, &tuf.ExpiredError{Role: tuf.RoleTimestamp}, "ask its operator"},
		"targets expired":   {image, nil, &tuf.ExpiredError{Role: tuf.RoleTargets, Repository: "r.example/app"}, "signet renew r.example/app"},
		"trouble":           {image, nil, errors.New("no route"), "try again"},
		"said already":      {image, &client.Decision{Hint: "do this"}, refused(tuf.RuleAbsent), "do this"},
	} {
		if got := Next(test.image, test.d, test.err); !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, expected %q in it", name, got, test.want)
		}
	}
}
