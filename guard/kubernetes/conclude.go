package kubernetes

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/workload"
)

// conclude makes the answer to an admission from what was found.
func (d *Door) conclude(a *admission, asker door.Asker, images []workload.Image, findings []finding, rules Rules) *admissionAnswer {
	answer := &admissionAnswer{UID: a.uid, Allowed: true, AuditAnnotations: audit(findings), Warnings: warnings(findings)}
	var forbidden []finding
	verdict := false
	for _, f := range findings {
		if f.forbidden {
			forbidden = append(forbidden, f)
			verdict = verdict || f.verdict == VerdictRefused
		}
	}
	if len(forbidden) > 0 {
		reason, ok := rules.BreakGlass(a.namespace, annotations(a.object, images))
		if !ok {
			answer.Allowed = false
			answer.AuditAnnotations[auditVerdict] = "refused"
			// A verdict stays one tomorrow; trouble may pass, and says so to controllers.
			answer.Status = &status{tell(forbidden, len(findings)), reasonForbidden, http.StatusForbidden}
			if !verdict {
				answer.Status.Reason, answer.Status.Code = reasonUnavailable, http.StatusServiceUnavailable
			}
			return answer
		}
		answer.AuditAnnotations[auditVerdict] = "break glass"
		answer.AuditAnnotations[auditBreakGlass] = clip(reason)
		answer.Warnings = append([]string{warning(fmt.Sprintf("BREAK GLASS: %d of %d images run although they are refused; the reason given: %s", len(forbidden), len(findings), reason))}, answer.Warnings...)
		d.config.Gate.BreakGlass(asker, reason)
	}
	if answer.Patch = patch(findings); answer.Patch != nil {
		answer.PatchType = "JSONPatch"
	}
	return answer
}

// annotations are an object's own, and those of the pods that it makes, which will be
// asked about by themselves.
func annotations(object map[string]any, images []workload.Image) map[string]string {
	all := map[string]string{}
	add := func(holder any) {
		fields, _ := holder.(map[string]any)
		metadata, _ := fields["metadata"].(map[string]any)
		these, _ := metadata["annotations"].(map[string]any)
		for name, value := range these {
			if text, ok := value.(string); ok {
				all[name] = text
			}
		}
	}
	for _, image := range images {
		if image.Kind != workload.KindContainer {
			continue
		}
		var holder any = object // .../spec/containers/0/image is in the holder of spec
		for _, step := range image.Key[:len(image.Key)-4] {
			fields, _ := holder.(map[string]any)
			holder = fields[step]
		}
		add(holder)
		break
	}
	add(object)
	return all
}

// auditVerdict is the audit annotation for the whole object.
const auditVerdict = "verdict"

// auditBreakGlass is that for the reason that a person gave.
const auditBreakGlass = "break-glass"

// maxAudited is how many images have an audit annotation of their own.
const maxAudited = 32

// audit tells an audit log what was found, in a word for the object and in JSON for
// each image.
func audit(findings []finding) map[string]string {
	notes := map[string]string{auditVerdict: "allowed"}
	unchanged := true
	for i, f := range findings {
		unchanged = unchanged && f.verdict == VerdictUnchanged
		if i < maxAudited {
			notes[fmt.Sprintf("image-%d", i)] = f.audit()
		}
	}
	if unchanged {
		notes[auditVerdict] = VerdictUnchanged
	}
	return notes
}

// maxWarning is what API servers show of one warning, maxWarnings of all.
const (
	maxWarning  = 256
	maxWarnings = 4096
)

// warnings are what the policy wants said, which kubectl shows.
func warnings(findings []finding) []string {
	var all []string
	total := 0
	for _, f := range findings {
		texts := []string{f.warning}
		if f.decision != nil && f.decision.Policy != nil && !f.forbidden {
			texts = append(texts, f.decision.Policy.Warnings...)
		}
		for _, text := range texts {
			if text == "" {
				continue
			}
			line := warning(f.title() + ": " + text)
			if total += len(line); total > maxWarnings {
				return all
			}
			all = append(all, line)
		}
	}
	return all
}

// warning is one, no longer than is shown.
func warning(text string) string {
	text = "signet: " + strings.Join(strings.Fields(text), " ")
	if len(text) > maxWarning {
		text = strings.ToValidUTF8(text[:maxWarning-3], "") + "..."
	}
	return text
}
