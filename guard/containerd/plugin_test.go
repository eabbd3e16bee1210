package containerd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/tuf"
)

// An answer is what a gate says, whatever it is asked.
type answer struct {
	decision client.Decision
	err      error
	asked    *guard.Question
}

func (a answer) Ask(_ context.Context, _ guard.Asker, q guard.Question) (*client.Decision, error) {
	if a.asked != nil {
		*a.asked = q
	}
	d := a.decision
	return &d, a.err
}

func descriptor(digest string) string {
	return `{"mediaType":"` + index + `","digest":"` + digest + `","size":2048}` + "\n"
}

func TestPlugin(t *testing.T) {
	args := []string{"-name", "registry.example.com/team/app:1.0", "-digest", digestA, "-stdin-media-type", mediaTypeDescriptor}
	trusted := answer{decision: client.Decision{Trusted: true, Digest: digestA, Image: "registry.example.com/team/app:1.0@" + digestA, Signers: []string{"alice"}, Policy: &client.Ruling{Allowed: true}}}
	refused := answer{decision: client.Decision{Reason: "not signed\n\x1b[2J" + strings.Repeat("x", 1<<20), Policy: &client.Ruling{}}, err: &tuf.Refusal{Rule: tuf.RuleAbsent}}
	other := trusted
	other.decision.Digest = digestB
	for name, test := range map[string]struct {
		args   []string
		stdin  string
		gate   answer
		status int
		reason string
	}{
		"trusted":                  {args, descriptor(digestA), trusted, ExitAllow, "trusted: "},
		"at a run":                 {append([]string{"-operation", "run"}, args...), descriptor(digestA), trusted, ExitAllow, "trusted: "},
		"input of a later release": {append(args[:4:4], "-stdin-media-type", "application/vnd.containerd.image-verifier.input.v1+json"), "anything", trusted, ExitAllow, "trusted: "},
		"refused":                  {args, descriptor(digestA), refused, ExitRefused, "refused: not signed?"},
		"no answer":                {args, descriptor(digestA), answer{decision: client.Decision{Reason: "away", Policy: &client.Ruling{}}, err: errors.New("away")}, ExitTrouble, "refused, could not find out: away; next: try again"},
		"another digest":           {args, descriptor(digestA), other, ExitRefused, "is signed as " + digestB},
		"warned":                   {args, descriptor(digestA), answer{decision: client.Decision{Reason: "not signed", Policy: &client.Ruling{Allowed: true, Mode: client.ModeWarn, Rule: "r"}}}, ExitAllow, "NOT trusted, let pass by the mode warn of rule r: not signed"},
		"exempt":                   {args, descriptor(digestA), answer{decision: client.Decision{Policy: &client.Ruling{Allowed: true, Exempt: "vendor", Until: "2026-12-31"}}}, ExitAllow, "is exempt until 2026-12-31: vendor"},
		"stdin of another":         {args, descriptor(digestB), trusted, ExitRefused, "-digest is " + digestA},
		"no stdin":                 {args, "", trusted, ExitRefused, "standard input"},
		"no descriptor":            {args, "hello", trusted, ExitRefused, "standard input"},
		"endless stdin":            {args, strings.Repeat(" ", maxStdin+2), trusted, ExitRefused, "more than"},
		"no digest":                {args[:2], "", trusted, ExitUsage, "-digest"},
		"no name":                  {args[2:], descriptor(digestA), trusted, ExitUsage, "-name"},
		"a word too many":          {append(args[:4:4], "more"), "", trusted, ExitUsage, "more"},
		"an unknown flag":          {append(args[:4:4], "-unknown"), "", trusted, ExitUsage, "unknown"},
		"a digest that is none":    {[]string{"-name", "a.example/b", "-digest", "sha256:a"}, "", trusted, ExitRefused, "not a digest"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			var asked guard.Question
			test.gate.asked = &asked
			status := Plugin(t.Context(), test.args, strings.NewReader(test.stdin), &out, func() (Answerer, error) { return test.gate, nil })
			if status != test.status || !strings.Contains(out.String(), test.reason) {
				t.Errorf("status %d: %.200s", status, out.String())
			}
			if out.Len() > 32<<10 || strings.Count(out.String(), "\n") != 1 || strings.Contains(out.String(), "\x1b") {
				t.Errorf("%d bytes in %d lines", out.Len(), strings.Count(out.String(), "\n"))
			}
			if asked.Image != "" && (asked.Image != "registry.example.com/team/app:1.0" || asked.Offered != digestA) {
				t.Errorf("asked %+v", asked)
			}
		})
	}
}

// Standard input that does not come to an end is not waited for longer than there is
// time.
func TestPluginDoesNotOutliveItsTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, w := io.Pipe()
	defer w.Close()
	var out bytes.Buffer
	status := Plugin(ctx, []string{"-name", "a.example/b:1", "-digest", digestA, "-stdin-media-type", mediaTypeDescriptor}, r, &out,
		func() (Answerer, error) { return answer{}, errors.New("asked all the same") })
	if status != ExitRefused || !strings.Contains(out.String(), "does not end") {
		t.Errorf("status %d: %s", status, out.String())
	}
}

func TestPluginWithoutAConfiguration(t *testing.T) {
	var out bytes.Buffer
	status := Plugin(t.Context(), []string{"-name", "a.example/b:1", "-digest", digestA}, strings.NewReader(""), &out,
		func() (Answerer, error) { return nil, errors.New("no configuration") })
	if status != ExitTrouble || out.String() != "refused, could not find out: no configuration\n" {
		t.Errorf("status %d: %s", status, out.String())
	}
}

func TestIsPlugin(t *testing.T) {
	for line, want := range map[string]bool{
		"-name a -digest b": true, "-digest=b": true, "-stdin-media-type x -name=a": true,
		"": false, "serve": false, "--name a": false, "config containerd": false,
	} {
		if IsPlugin(strings.Fields(line)) != want {
			t.Errorf("%q: expected %t", line, want)
		}
	}
}

func TestHosts(t *testing.T) {
	var out bytes.Buffer
	if err := (Hosts{Registry: "docker.io", Gate: "https://gate.example.com:4460", CA: "/etc/signet/ca.pem", Cert: "/c.pem", Key: "/k.pem"}).Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"server = \"https://registry-1.docker.io\"\ncapabilities = [\"pull\"]\n", "[host.\"https://gate.example.com:4460\"]\n  capabilities = [\"pull\", \"resolve\"]\n", `client = [["/c.pem", "/k.pem"]]`, "does not stop"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	for registry, want := range map[Hosts]string{
		{Registry: "localhost:5000"}:                       "http://localhost:5000",
		{Registry: "127.0.0.1:5000"}:                       "http://127.0.0.1:5000",
		{Registry: "[::1]:5000"}:                           "http://[::1]:5000",
		{Registry: "localhost:5000", RegistryCA: "/c.pem"}: "https://localhost:5000",
		{Registry: "localhost.example.com"}:                "https://localhost.example.com",
		{Registry: "192.0.2.7:5000"}:                       "https://192.0.2.7:5000",
	} {
		registry.Gate = "https://gate.example.com:4460"
		out.Reset()
		if err := registry.Write(&out); err != nil || !strings.Contains(out.String(), "\nserver = \""+want+"\"\n") {
			t.Errorf("%s, CA %q: expected the server %s, got %v\n%s", registry.Registry, registry.RegistryCA, want, err, out.String())
		}
	}
	for name, bad := range map[string]Hosts{
		"plain HTTP":       {Registry: "a.example", Gate: "http://gate.example.com"},
		"a path":           {Registry: "a.example", Gate: "https://gate.example.com/x"},
		"no registry":      {Gate: "https://gate.example.com"},
		"a repository":     {Registry: "a.example/b", Gate: "https://gate.example.com"},
		"half a key pair":  {Registry: "a.example", Gate: "https://gate.example.com", Cert: "/c.pem"},
		"the same address": {Registry: "a.example:443", Gate: "https://a.example:443"},
		"a quote":          {Registry: "a.example", Gate: "https://gate.example.com", CA: "/a\"\nserver=\"x"},
	} {
		if err := bad.Write(io.Discard); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
