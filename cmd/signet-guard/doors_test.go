package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// Each door answers at its own paths, in its own language, at the address that the
// configuration gives it, and nowhere else.
func TestDoors(t *testing.T) {
	r := newRoom(t)
	r.start(t, "gate", nil, r.args("gate", "--doors", "containerd,kubernetes", "--door-listen", "kubernetes=localhost:0")...)
	at := r.ready(t, "gate")
	client := r.client(false)
	ask := func(method, url, body string) (string, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.Status, string(data)
	}
	const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","operation":"CREATE","namespace":"shop",
		"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},"userInfo":{"username":"alice"},
		"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"shop"},"spec":{"containers":[{"name":"c","image":"registry.example.com/other:1.0"}]}}}}`
	if status, body := ask("POST", at.Doors["kubernetes"]+"/kubernetes/validate", review); status != "200 OK" || !strings.Contains(body, `"allowed":false`) || !strings.Contains(body, "registry.example.com/other:1.0") {
		t.Errorf("kubernetes: %s: %s", status, body)
	}
	if status, body := ask("GET", at.Doors["containerd"]+"/v2/other/manifests/1.0?ns=registry.example.com", ""); !strings.HasPrefix(status, "300 signet: ") || !strings.Contains(body, "DENIED") {
		t.Errorf("containerd: %s: %s", status, body)
	}
	for _, elsewhere := range []string{at.Doors["containerd"] + "/kubernetes/validate", at.Doors["kubernetes"] + "/v2/", at.Doors["kubernetes"] + "/v1/decide", at.URL + "/metrics"} {
		if status, body := ask("POST", elsewhere, review); status != "404 Not Found" {
			t.Errorf("%s: %s: %s", elsewhere, status, body)
		}
	}
	eventually(t, "two lines in the log, of what alice asked too", func() bool {
		log, err := os.ReadFile(r.path("decisions"))
		return err == nil && strings.Count(string(log), `"verdict":"deny"`) == 2 && strings.Contains(string(log), `"who":"alice"`)
	})
}
