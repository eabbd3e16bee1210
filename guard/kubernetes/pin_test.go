package kubernetes

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// replaced is the patch that writes images, each after a test.
func replaced(pointerOldNew ...string) string {
	var operations []string
	for i := 0; i < len(pointerOldNew); i += 3 {
		path, old, pinned := pointerOldNew[i], pointerOldNew[i+1], pointerOldNew[i+2]
		operations = append(operations, `{"op":"test","path":"`+path+`","value":"`+old+`"},{"op":"replace","path":"`+path+`","value":"`+pinned+`"}`)
	}
	return "[" + strings.Join(operations, ",") + "]"
}

func TestPinning(t *testing.T) {
	refuse := func(context.Context) (*client.Decision, error) {
		return nil, &tuf.Refusal{Rule: tuf.RuleDigest, Detail: "revoked"}
	}
	const at, at1 = "/spec/containers/0/image", "/spec/containers/1/image"
	pinned, moved := "app:1@"+digest("a"), "app:1@"+digest("c")
	for _, test := range []struct {
		name  string
		ask   ask
		gate  func(*fakeGate)
		patch string
	}{
		{"as the policy says, by container", ask{object: podOf("app=app:1", "side=side:1")}, nil, replaced(at, "app:1", pinned)},
		{"a tag that is not written", ask{object: podOf("app=registry:5000/app")}, func(g *fakeGate) { g.trusts["registry:5000/app"] = digest("a") },
			replaced(at, "registry:5000/app", "registry:5000/app:latest@"+digest("a"))},
		{"has its digest", ask{object: podOf("app=" + pinned)}, nil, ""},
		{"not trusted, let pass", ask{object: podOf("app=app:1")}, func(g *fakeGate) { g.do["app:1"] = warns("unsigned") }, ""},
		{"both", ask{object: podOf("app=app:1", "other=side:1")}, nil, replaced(at, "app:1", pinned, at1, "side:1", "side:1@"+digest("b"))},
		{"dry run", ask{object: podOf("app=app:1"), dryRun: true}, nil, replaced(at, "app:1", pinned)},
		{"running unpinned", ask{operation: "UPDATE", object: podOf("app=app:1"), old: podOf("app=app:1")}, nil, ""},
		{"applied again", ask{operation: "UPDATE", object: podOf("app=app:1"), old: podOf("app=" + pinned)}, nil, replaced(at, "app:1", pinned)},
		{"applied again, the tag has moved and the old digest is trusted", ask{operation: "UPDATE", object: podOf("app=app:1"), old: podOf("app=" + pinned)},
			func(g *fakeGate) { g.trusts["app:1"] = digest("c") }, replaced(at, "app:1", pinned)},
		{"applied again, the old digest is revoked", ask{operation: "UPDATE", object: podOf("app=app:1"), old: podOf("app=" + pinned)},
			func(g *fakeGate) { g.trusts["app:1"], g.do[pinned] = digest("c"), refuse }, replaced(at, "app:1", moved)},
		{"applied again, all is revoked", ask{operation: "UPDATE", object: podOf("app=app:1"), old: podOf("app=" + pinned)},
			func(g *fakeGate) { g.do["app:1"], g.do[pinned] = refuse, refuse }, replaced(at, "app:1", pinned)},
		{"another tag than the pinned one", ask{operation: "UPDATE", object: podOf("app=side:1"), old: podOf("app=" + pinned)}, nil, replaced(at, "side:1", "side:1@"+digest("b"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			b.rules.pins = []string{"shop/Pod/app", "shop/Pod/other", "shop/Deployment/side"}
			if test.gate != nil {
				test.gate(b.gate)
			}
			answer := b.review(t, mutatePath, test.ask)
			if !answer.Allowed || (answer.Patch != nil) != (answer.PatchType == "JSONPatch") {
				t.Fatalf("got %+v", answer)
			}
			if diff := cmp.Diff(test.patch, string(answer.Patch)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAStillRunningRevokedImageIsToldAbout(t *testing.T) {
	b := newBench(t)
	b.rules.pins = []string{"shop/Pod/app"}
	b.gate.trusts = nil
	answer := b.review(t, mutatePath, ask{operation: "UPDATE", object: podOf("app=app:1"), old: podOf("app=app:1@" + digest("a"))})
	if !answer.Allowed || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "no longer trusted") || answer.AuditAnnotations["verdict"] != "unchanged" {
		t.Errorf("got %+v", answer)
	}
}

func TestARefusedObjectIsNotPatched(t *testing.T) {
	b := newBench(t)
	b.rules.pins = []string{"shop/Pod/app"}
	if answer := b.review(t, mutatePath, ask{object: podOf("app=app:1", "side=side:evil")}); answer.Allowed || answer.Patch != nil || answer.PatchType != "" {
		t.Errorf("got %+v", answer)
	}
}

// TestValidatingDemandsThePin is for a mutating webhook that was never registered:
// without it, pinning would be off and nobody would know.
func TestValidatingDemandsThePin(t *testing.T) {
	b := newBench(t)
	b.rules.pins = []string{"shop/Pod/app"}
	answer := b.review(t, validatePath, ask{object: podOf("app=app:1")})
	if answer.Allowed || answer.Status.Code != http.StatusForbidden || !strings.Contains(answer.Status.Message, "it came without its digest") ||
		!strings.Contains(answer.Status.Message, "register signet's mutating webhook") {
		t.Errorf("got %+v", answer)
	}
	if answer = b.review(t, validatePath, ask{object: podOf("app=app:1@" + digest("a"))}); !answer.Allowed {
		t.Errorf("got %+v", answer)
	}
}

func TestADigestThatIsNoneIsNotWritten(t *testing.T) {
	b := newBench(t)
	b.rules.pins = []string{"shop/Pod/app"}
	b.gate.trusts["app:1"] = `sha256:00"},{"op":"remove"`
	if answer := b.review(t, mutatePath, ask{object: podOf("app=app:1")}); answer.Allowed || answer.Patch != nil {
		t.Errorf("got %+v", answer)
	}
	if _, err := pinOf("app", ""); !errors.Is(err, tuf.RuleName) {
		t.Errorf("got %v", err)
	}
}
