package kubernetes

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// TestReviewIsWrittenAsJSON holds what is written to encoding/json, member by member.
func TestReviewIsWrittenAsJSON(t *testing.T) {
	full := admissionAnswer{UID: "a", Allowed: true, Status: &status{"b \"c\" <d>\n", reasonForbidden, 403}, Patch: []byte(`[{}]`), PatchType: "JSONPatch",
		AuditAnnotations: map[string]string{"e": `{"f":"g"}`, "h": "ï"}, Warnings: []string{"j", `k\l`}}
	for i, fields := 0, reflect.ValueOf(full); i < fields.NumField(); i++ {
		if fields.Field(i).IsZero() {
			t.Errorf("%s is not tried", fields.Type().Field(i).Name)
		}
	}
	for _, answer := range []*admissionAnswer{&full, {}, allow("u", "no image"), refuse("u", 400, "BadRequest", "no")} {
		review := &admissionReview{APIVersion: admissionAPI, Kind: "AdmissionReview", Response: answer}
		want, err := json.Marshal(review)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := write(&got, review); err != nil || got.String() != string(want) {
			t.Errorf("got  %s\nwant %s (%v)", &got, want, err)
		}
	}
}
