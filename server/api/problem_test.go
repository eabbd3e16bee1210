package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// over sends an error over the wire and returns what arrives.
func over(t *testing.T, err error) error {
	t.Helper()
	p := api.NewProblem(err)
	body, jsonErr := json.Marshal(p)
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	return api.ReadProblem(p.Status, api.TypeProblem, body)
}

// errors.Is gives the same answer on both sides, for every error of the table and
// for no other.
func TestProblemsRoundTrip(t *testing.T) {
	table := []error{
		api.ErrBadRequest, api.ErrUnauthorized, api.ErrForbidden, api.ErrMethodNotAllowed, api.ErrRequestTimeout, api.ErrTooLarge,
		api.ErrMediaType, api.ErrRefused, api.ErrTooManyRequests, api.ErrInternal, api.ErrSignerUnavailable, api.ErrStoreUnavailable,
		api.ErrBusy, api.ErrUncertain, tuf.ErrNotFound, tuf.ErrConflict,
	}
	if len(table) != len(api.ProblemNames()) {
		t.Errorf("%d errors for %d problems", len(table), len(api.ProblemNames()))
	}
	for _, sent := range table {
		arrived := over(t, fmt.Errorf("with more words: %w", sent))
		for _, e := range table {
			if errors.Is(arrived, e) != (e == sent) {
				t.Errorf("%v arrived as %v, and errors.Is(%v) is %v", sent, arrived, e, errors.Is(arrived, e))
			}
		}
	}
}

func TestRefusalRoundTrip(t *testing.T) {
	refusal := &tuf.Refusal{Repository: "registry.example/app", Role: "alice", Version: 3, Rule: tuf.RuleThreshold, Clause: "TUF §5.6.3", Detail: "1 of 2 signatures"}
	arrived := over(t, fmt.Errorf("publish: %w", refusal))
	p, ok := errors.AsType[*api.ProblemError](arrived)
	if !ok || p.Role != "alice" || p.Version != 3 || p.Clause != "TUF §5.6.3" {
		t.Fatalf("arrived as %+v", p)
	}
	if !errors.Is(arrived, tuf.RuleThreshold) || !errors.Is(arrived, api.ErrRefused) {
		t.Errorf("%v is not the refusal that was sent", arrived)
	}
	if tuf.IsRefusal(arrived) {
		t.Error("what a server says is taken for a verdict of this side")
	}
	expired := over(t, &tuf.ExpiredError{Role: "targets", Version: 2, Expired: time.Unix(0, 0), Now: time.Unix(60, 0)})
	if !errors.Is(expired, tuf.RuleExpired) {
		t.Errorf("%v is not an expiry", expired)
	}
}

func TestConflictTellsVersions(t *testing.T) {
	arrived := over(t, &api.ConflictError{Repository: "registry.example/app", Versions: map[string]int64{"targets": 7}})
	p, ok := errors.AsType[*api.ProblemError](arrived)
	if !ok || p.Versions["targets"] != 7 || !errors.Is(arrived, tuf.ErrConflict) {
		t.Fatalf("arrived as %+v", p)
	}
}

// An error that the table does not know keeps its words to itself.
func TestInternalErrorsStayInside(t *testing.T) {
	p := api.NewProblem(errors.New("dial tcp 10.1.2.3:5432: password rejected"))
	if text := fmt.Sprint(p); strings.Contains(text, "10.1.2.3") || p.Status != 500 {
		t.Fatalf("%+v", p)
	}
}

// What is not one of our problems says no more than its status.
func TestForeignAnswers(t *testing.T) {
	for _, c := range []struct {
		status      int
		media, body string
		want        error
	}{
		{502, "text/html", "<h1>Bad gateway</h1>", nil},
		{404, "text/html", "<h1>Not found</h1>", tuf.ErrNotFound},
		{409, "text/html", "conflict", nil},
		{422, api.TypeProblem, "{", nil},
		{422, api.TypeProblem, `{"type":"urn:other:refused","rule":"threshold"}`, nil},
		{413, "", "", api.ErrTooLarge},
	} {
		err := api.ReadProblem(c.status, c.media, []byte(c.body))
		if c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%d %s: %v, expected %v", c.status, c.body, err, c.want)
		}
		if c.want == nil {
			for _, e := range []error{tuf.ErrConflict, tuf.ErrNotFound, api.ErrRefused, tuf.RuleThreshold} {
				if errors.Is(err, e) {
					t.Errorf("%d %s is taken for %v", c.status, c.body, e)
				}
			}
		}
	}
}

// A server cannot drive the terminal of who reads its errors.
func TestErrorsArePrintable(t *testing.T) {
	err := api.ReadProblem(409, api.TypeProblem, []byte(`{"type":"urn:signet:problem:conflict","title":"c","status":409,"detail":"\u001b[2Jgone\nsignet: trusted"}`))
	if text := err.Error(); strings.ContainsAny(text, "\x1b\n") {
		t.Fatalf("%q", text)
	}
}

// FuzzReadProblem checks that whatever a server answers becomes an error, whose
// text has no control characters and a bounded length.
func FuzzReadProblem(f *testing.F) {
	f.Add(409, api.TypeProblem, []byte(`{"type":"urn:signet:problem:conflict","versions":{"targets":2}}`))
	f.Add(200, "", []byte(nil))
	f.Fuzz(func(t *testing.T, status int, media string, body []byte) {
		text := api.ReadProblem(status, media, body).Error()
		if len(text) > 2100 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
			t.Fatalf("%q", text)
		}
	})
}

func TestPaths(t *testing.T) {
	for got, want := range map[string]string{
		api.FilePath("[::1]:5000/team/app", "3.root.json"): "/tuf/%5B::1%5D:5000/team/app/3.root.json",
		api.PublishPath("localhost:5000/app"):              "/v1/publish/localhost:5000/app",
		api.PagePath("localhost:5000/app", 10):             "/v1/repositories?after=localhost%3A5000%2Fapp&limit=10",
		api.PagePath("", 0):                                "/v1/repositories",
	} {
		if got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}
