package nodecheck

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// kubernetes tries to create a pod that nobody has signed, as a dry run, which goes
// through admission and leaves nothing.
func (n *node) kubernetes(ctx context.Context) {
	for _, namespace := range n.Namespaces {
		n.doors++
		for _, reference := range n.anywhere("registry.invalid") {
			n.admission(ctx, namespace, reference)
		}
	}
}

func (n *node) admission(ctx context.Context, namespace, reference string) {
	check := "Kubernetes namespace " + namespace
	pod := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"signet-doctor-%s"},"spec":{"restartPolicy":"Never","automountServiceAccountToken":false,
"securityContext":{"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{"type":"RuntimeDefault"}},
"containers":[{"name":"probe","image":%q,"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}`, n.hex[:8], reference)
	ctx, cancel := context.WithTimeout(ctx, 3*n.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.Kubectl, "create", "--dry-run=server", "--namespace", namespace, "-f", "-")
	cmd.Stdin = strings.NewReader(pod)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	said := strings.Join(strings.Fields(string(out)), " ")
	switch {
	case err == nil:
		n.addf(check, Trouble, "look at the webhook's namespaceSelector and failurePolicy, and at the policy's exempt namespaces; or "+byMode,
			"a pod with %s, which nobody has signed, is admitted (%s)", reference, said)
	case forWantOfARule(said) && strings.Contains(said, n.tag):
		n.unproven(check, reference, said)
	case strings.Contains(said, n.tag) && (strings.Contains(said, "denied the request") || strings.Contains(said, "orbidden")):
		n.addf(check, OK, "", "a pod with an image that nobody has signed is refused (%s)", said)
	case strings.Contains(said, "failed calling webhook"):
		n.addf(check, Warning, "look at the gate, its Service and its certificate", "the webhook cannot be asked, so that nothing is admitted: %s", said)
	default:
		n.addf(check, Warning, "look whether kubectl works there at all", "it could not be found out: %s", said)
	}
}
