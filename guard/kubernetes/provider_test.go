package kubernetes

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signet-trust/signet/guard"
)

// TestGatekeeperIsToldThatItGetsNoAnswer holds what is not answered to a systemError.
// Gatekeeper takes the body of an answer whatever its status is: one that has neither
// items nor a systemError would look as if nothing were wrong.
func TestGatekeeperIsToldThatItGetsNoAnswer(t *testing.T) {
	const question = `{"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest", "request": {"keys": ["app:1"]}}`
	// At a total of next to none, one request is let through.
	narrow := guard.Limits{Total: 1e-9}
	for _, test := range []struct {
		name, path, body string
		limits           guard.Limits
		before           int // requests that come before
		status           int
		reason           string
	}{
		{"no JSON", providerPath, `keys`, guard.Limits{}, 0, http.StatusBadRequest, "not JSON"},
		{"another kind", providerPath, strings.Replace(question, "ProviderRequest", "ProviderResponse", 1), guard.Limits{}, 0, http.StatusBadRequest, "ProviderRequest"},
		{"too large", providerPath, question + strings.Repeat(" ", maxQuestion), guard.Limits{}, 0, http.StatusRequestEntityTooLarge, "bytes"},
		{"a slip in the url", providerPath + "s", question, guard.Limits{}, 0, http.StatusNotFound, "nothing is asked here"},
		{"asked too often", providerPath, question, narrow, 1, http.StatusTooManyRequests, "too often"},
		{"asked too often, with a slip in the url", providerPath + "/", question, narrow, 1, http.StatusTooManyRequests, "too often"},
		{"no certificate", providerPath, question, guard.Limits{Certified: []string{"kubernetes"}}, 0, http.StatusForbidden, "certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			gate := guard.NewEntrance(guard.New(guard.Config{}), test.limits).Handler(b.door.Open())
			var w *httptest.ResponseRecorder
			for range test.before + 1 {
				r := httptest.NewRequest(http.MethodPost, test.path, strings.NewReader(test.body))
				r.Header.Set("Content-Type", "application/json")
				w = httptest.NewRecorder()
				gate.ServeHTTP(w, r)
			}
			var got providerResponse
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != test.status || got.Kind != "ProviderResponse" || len(got.Response.Items) != 0 || got.Response.Idempotent ||
				!strings.Contains(got.Response.SystemError, test.reason) {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
		})
	}
	t.Run("the other addresses answer as before", func(t *testing.T) {
		b := newBench(t)
		r := httptest.NewRequest(http.MethodPost, validatePath, strings.NewReader(question))
		w := httptest.NewRecorder()
		guard.NewEntrance(guard.New(guard.Config{}), guard.Limits{Certified: []string{"kubernetes"}}).Handler(b.door.Open()).ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "ProviderResponse") {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
