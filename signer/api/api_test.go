package api

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/tuf"
)

const app = "registry.example/team/app"

// What errors.Is and errors.As say here, they say on the caller's side.
func TestErrorsSurviveTheWire(t *testing.T) {
	refusal := &tuf.Refusal{Repository: app, Role: "bob", Version: 3, Rule: tuf.RuleThreshold, Clause: "TUF §5.6.3", Detail: "one signature, two needed"}
	expired := &tuf.ExpiredError{Repository: app, Role: tuf.RoleTargets, Version: 3, Expired: time.Unix(1, 0).UTC(), Now: time.Unix(2, 0).UTC()}
	tests := []struct {
		name   string
		err    error
		want   error
		status int
	}{
		{"a conflict", fmt.Errorf("targets: %w", tuf.ErrConflict), tuf.ErrConflict, 409},
		{"nothing there", fmt.Errorf("last: %w", tuf.ErrNotFound), tuf.ErrNotFound, 404},
		{"a request without sense", fmt.Errorf("%w: no roots", ErrBadRequest), ErrBadRequest, 400},
		{"a request too large", errTooLarge, ErrBadRequest, 413},
		{"a refusal", fmt.Errorf("sign: %w", refusal), tuf.RuleThreshold, 422},
		{"an expiry", fmt.Errorf("sign: %w", expired), tuf.RuleExpired, 422},
		{"trouble of the signer's own", fmt.Errorf("%w: disk full", ErrUnavailable), ErrUnavailable, 503},
		{"a surprise", errors.New("secret path"), ErrUnavailable, 500},
	}
	sentinels := []error{tuf.ErrConflict, tuf.ErrNotFound, ErrBadRequest, ErrUnavailable, tuf.RuleThreshold, tuf.RuleExpired}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := ProblemOf(test.err)
			if p.Status != test.status {
				t.Errorf("status %d, expected %d", p.Status, test.status)
			}
			back := p.Err()
			for _, sentinel := range sentinels {
				if got := errors.Is(back, sentinel); got != (sentinel == test.want) {
					t.Errorf("errors.Is(%v, %v) is %v", back, sentinel, got)
				}
			}
			for _, secret := range []string{"disk full", "secret path"} {
				if bytes.Contains([]byte(p.Detail), []byte(secret)) {
					t.Errorf("the answer tells %q", secret)
				}
			}
		})
	}
	if got, ok := errors.AsType[*tuf.Refusal](ProblemOf(refusal).Err()); !ok || cmp.Diff(refusal, got) != "" {
		t.Errorf("a refusal comes back as %+v", got)
	}
	if got, ok := errors.AsType[*tuf.ExpiredError](ProblemOf(expired).Err()); !ok || cmp.Diff(expired, got) != "" {
		t.Errorf("an expiry comes back as %+v", got)
	}
}

// What the limit on files lets through fits into a body, whatever the files are,
// and what it does not is refused by name, before a byte is sent.
func TestSignRequestIsBounded(t *testing.T) {
	r := &SignRequest{Repository: "registry.example/" + strings.Repeat("a", 200)}
	for range MaxRoots {
		r.Roots = append(r.Roots, []byte("{}"))
	}
	for i := range MaxRoles {
		r.Roles = append(r.Roles, tuf.File{Role: fmt.Sprintf("s%063d", i), Version: 1<<63 - 1, Bytes: []byte("{}")})
	}
	small := 2 * (MaxRoots + MaxRoles - 1)
	r.Roles[0].Bytes = make([]byte, MaxFiles-small)
	data, err := EncodeSignRequest(r)
	if err != nil || r.Check() != nil || len(data) > MaxBody {
		t.Fatalf("%d bytes of files make a body of %d, at most %d: %v, %v", MaxFiles, len(data), MaxBody, err, r.Check())
	}
	r.Roles[1].Bytes = []byte("{ }")
	for name, err := range map[string]error{
		"check": r.Check(),
		"sign": func() error {
			_, err := (&Client{}).Sign(t.Context(), *r)
			return err
		}(),
	} {
		if refusal, ok := errors.AsType[*tuf.Refusal](err); !ok || refusal.Rule != tuf.RuleLimit || !strings.Contains(refusal.Detail, fmt.Sprint(MaxFiles)) {
			t.Errorf("%s: one byte more: %v, expected rule %s", name, err, tuf.RuleLimit)
		}
	}
}

// FuzzDecodeSignRequest checks that a request which is taken has one meaning: it
// names a repository, each role once, in bounds, and reading what it is written
// as gives the same request. Two readings would let server and signer differ on
// what was signed.
func FuzzDecodeSignRequest(f *testing.F) {
	for _, r := range []*SignRequest{
		{Repository: app, Roots: [][]byte{[]byte("{}")}, Roles: []tuf.File{{Role: "targets", Version: 1, Bytes: []byte("{}")}}},
		{Repository: app, Roots: [][]byte{{1}, {2}}, Roles: []tuf.File{{Role: "targets", Version: 2, Bytes: []byte{0}}, {Role: "bob", Version: 9, Bytes: []byte{1}}}},
		{Repository: "nothing"},
	} {
		data, err := EncodeSignRequest(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"repository":"registry.example/a","roots":["e30="],"roles":[{"role":"root","version":1,"content":"e30="}]}`))
	f.Add([]byte(`{"repository":"registry.example/a","roots":null,"roles":null}{}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := DecodeSignRequest(in)
		if err != nil {
			t.Skip() // refusing is fine; panicking is not
		}
		if tuf.CheckRepository(r.Repository) != nil || len(r.Roots) == 0 || len(r.Roots) > MaxRoots || len(r.Roles) == 0 || len(r.Roles) > MaxRoles {
			t.Fatalf("accepted %q", in)
		}
		seen := map[string]bool{}
		for _, file := range r.Roles {
			if seen[file.Role] || file.Version < 1 || len(file.Bytes) == 0 || (file.Role != tuf.RoleTargets && tuf.CheckRoleName(file.Role) != nil) {
				t.Fatalf("accepted role %q twice or out of bounds in %q", file.Role, in)
			}
			seen[file.Role] = true
		}
		data, err := EncodeSignRequest(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeSignRequest(data)
		if err != nil {
			t.Fatalf("refused its own writing: %v", err)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatalf("read back as another request: %s", diff)
		}
	})
}
