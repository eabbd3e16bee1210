package main

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/client/registry"
	"github.com/signet-trust/signet/cmd/internal/policies"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// A notary says what is signed as a policy: online, and from what was held before.
type notary struct {
	digest  string
	expires time.Time
	asked   error // when it is asked; nil: it says digest
	held    error // when nobody is asked
}

func (n *notary) Verify(_ context.Context, image tuf.Image, options client.Options) (*client.Decision, error) {
	err := n.asked
	if options.Offline {
		err = n.held
	}
	if err != nil {
		return &client.Decision{}, err
	}
	return &client.Decision{Trusted: true, Repository: image.Repository, Digest: n.digest, Expires: &n.expires}, nil
}

// pushed serves a registry with a policy in it, and returns what pushes another one.
func pushed(t *testing.T, text string) (digest, repository string, push func(text string) string) {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	images := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	repository = strings.TrimPrefix(images.URL, "http://") + "/team/policy"
	push = func(text string) string {
		t.Helper()
		digest, err := registry.Config{}.PushArtifact(t.Context(), tuf.Image{Repository: repository, Tag: "production"}, policies.Kind, "policy.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	return push(text), repository, push
}

// A signed policy holds while its signers' word does: through a silent or a lying
// server, and through a newer one that is broken; not once it was revoked, has expired
// or is of nobody who may make one. Then everything is refused, exemptions included.
func TestSignedPolicyHoldsAsLongAsItsWord(t *testing.T) {
	good, repository, push := pushed(t, aPolicy+"kubernetes: {exempt-namespaces: [lab]}\n")
	broken := push("version: 1\nrules: [what]\n")
	silent := errors.New("no server answers")
	refusal := func(rule tuf.Rule) error { return &tuf.Refusal{Repository: repository, Rule: rule, Detail: "no"} }
	expired := &tuf.ExpiredError{Repository: repository, Role: tuf.RoleTimestamp, Expired: time.Now().Add(-time.Hour), Now: time.Now()}
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	for name, test := range map[string]struct {
		then  notary
		stays bool
	}{
		"nothing happens":          {notary{good, later, nil, nil}, true},
		"silence":                  {notary{good, later, silent, nil}, true},
		"silence, until it ends":   {notary{good, later, silent, expired}, false},
		"lies":                     {notary{good, later, refusal(tuf.RuleThreshold), nil}, true},
		"a newer one is broken":    {notary{broken, later, nil, nil}, true},
		"revoked":                  {notary{good, later, refusal(tuf.RuleAbsent), refusal(tuf.RuleAbsent)}, false},
		"its maker is not trusted": {notary{good, later, refusal(tuf.RuleAnchor), refusal(tuf.RuleAnchor)}, false},
		"state lost":               {notary{good, later, silent, errors.New("nothing is held")}, true},
		"state lost, and too long": {notary{good, past, silent, errors.New("nothing is held")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := &notary{digest: good, expires: later}
			g := guard.New(guard.Config{})
			l, err := newLoader(policies.Scheme+repository+":production", "", t.TempDir(), "", n, g, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			l.source = func(client.Anchors) policies.Source { return policies.Source{Verifier: n} }
			allowed := func() bool {
				d, err := g.Ask(t.Context(), guard.Asker{}, guard.Question{Question: policy.Question{Image: "registry.example.com/app@" + exempt}})
				if (err == nil) != d.Policy.Allowed || d.Policy.Allowed != l.kubernetes().Exempt("lab") {
					t.Fatalf("%+v, %v", d, err)
				}
				return d.Policy.Allowed
			}
			if err := l.look(t.Context()); err != nil || !allowed() {
				t.Fatalf("signed: %v", err)
			}
			*n = test.then
			l.until.Store(&test.then.expires) // time passes
			err = l.look(t.Context())
			if allowed() != test.stays || (err == nil) != test.stays {
				t.Fatalf("it stays: %t, expected %t: %v", allowed(), test.stays, err)
			}
			*n = notary{good, later, nil, nil}
			if err := l.look(t.Context()); err != nil || !allowed() {
				t.Errorf("signed again: %v", err)
			}
		})
	}
}

// The word on a policy is held against the clock at every answer, and not only when
// the gate next looks.
func TestSignedPolicyExpiresAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		expires time.Time
		holds   bool
	}{"holds": {time.Now().Add(time.Hour), true}, "has expired since": {time.Now().Add(-time.Second), false}} {
		t.Run(name, func(t *testing.T) {
			good, repository, _ := pushed(t, aPolicy+"kubernetes: {exempt-namespaces: [lab]}\n")
			n := &notary{digest: good, expires: test.expires}
			g := guard.New(guard.Config{})
			l, err := newLoader(policies.Scheme+repository+":production", "", t.TempDir(), "", n, g, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			l.source = func(client.Anchors) policies.Source { return policies.Source{Verifier: n} }
			if err := l.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			d, err := g.Ask(t.Context(), guard.Asker{}, guard.Question{Question: policy.Question{Image: "registry.example.com/app@" + exempt}})
			if (err == nil) != test.holds || d.Policy.Allowed != test.holds || l.kubernetes().Exempt("lab") != test.holds {
				t.Errorf("%+v, %v; exempt: %t", d, err, l.kubernetes().Exempt("lab"))
			}
		})
	}
}

// A gate that has no policy yet says that it listens, and why it is not ready, and asks
// again and again, less and less often.
func TestPolicyThatNobodySigned(t *testing.T) {
	r := newRoom(t)
	const from = "oci://registry.example.com/team/policy:production"
	var said output
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, r.args("gate", "--policy", from, "--drain", "1ms"), nil, io.Discard, &said) }()
	defer func() {
		stop()
		if status := <-ended; status != 0 {
			t.Errorf("exit %d: %s", status, &said)
		}
	}()
	where := regexp.MustCompile(`is it well\?  (http://[^/]*)/readyz`)
	eventually(t, "where it listens", func() bool {
		return strings.Contains(said.String(), "door decide at https://") && strings.Contains(said.String(), "not ready yet") && where.MatchString(said.String())
	})
	health := where.FindStringSubmatch(said.String())[1]
	eventually(t, "the reason", func() bool {
		status, body := get(t, health+"/readyz")
		return status == 503 && strings.Contains(body, "none is loaded: ") && strings.Contains(body, "no trust anchor is set")
	})
	eventually(t, "what to do", func() bool {
		return strings.Contains(said.String(), "level=ERROR") && strings.Contains(said.String(), "hint=\"--trust names nobody") && strings.Contains(said.String(), "again_in=2s")
	})
	eventually(t, "longer waits", func() bool { return strings.Contains(said.String(), "again_in=4s") })
	if _, err := os.Stat(r.path("gate.ready")); err == nil {
		t.Error("it has written that it is ready")
	}
}

// What to do about a policy that cannot be had depends on why.
func TestAdvicePolicy(t *testing.T) {
	const from = "oci://registry.example.com/policy:1"
	refusal := func(rule tuf.Rule) error { return &tuf.Refusal{Rule: rule} }
	for want, err := range map[string]error{
		"--trust names nobody":                      refusal(tuf.RuleAnchor),
		"signet sign registry.example.com/policy:1": refusal(tuf.RuleAbsent),
		"registry and its trust server":             errors.New("no route"),
		"signet policy push":                        &policy.FileError{File: from + "@" + exempt, Line: 2},
		"oci://NAME:TAG":                            &policy.FileError{File: from},
		"/etc/trust.json":                           trustError{os.ErrNotExist},
	} {
		if got := program.Hint("signet-guard", advisePolicy(from, "/etc/trust.json", err)); !strings.Contains(got, want) {
			t.Errorf("%v: %q, expected %q", err, got, want)
		}
	}
}

// A hangup while the gate starts is for later, and does not end it.
func TestHangupAtTheStart(t *testing.T) {
	r := newRoom(t)
	slow := r.path("slow.yaml") // the gate waits for what is written into it
	if err := syscall.Mkfifo(slow, 0o600); err != nil {
		t.Fatal(err)
	}
	var errOut output
	cmd := exec.Command(os.Args[0], r.args("gate", "--policy", slow)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), asGate+"=1"), &errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()        // it may have ended
	policy, err := os.OpenFile(slow, os.O_WRONLY, 0) // once the gate reads
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "after.yaml", aPolicy)
	if err := errors.Join(os.Rename(r.path("after.yaml"), slow), cmd.Process.Signal(syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.WriteString(aPolicy); err != nil {
		t.Fatal(err)
	}
	if err := policy.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gate", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("the gate ended: %v\n%s", err, &errOut)
		default:
		}
		_, err := os.Stat(r.path("gate.ready"))
		return err == nil
	})
}

// TestRulesThatTrustNobody are told at the start: they refuse everything.
func TestRulesThatTrustNobody(t *testing.T) {
	p := &policy.Policy{Rules: []*policy.Rule{{Name: "none"}, {Name: "own", Anchors: client.Anchors{{}}}}}
	if got := trustless(p, nil); !slices.Equal(got, []string{"none"}) {
		t.Errorf("got %q", got)
	}
	if got := trustless(p, client.Anchors{{}}); len(got) > 0 {
		t.Errorf("with the machine's: %q", got)
	}
}
