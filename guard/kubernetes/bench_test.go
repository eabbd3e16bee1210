package kubernetes

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// BenchmarkWebhook compares the webhook with one that lets everything pass, both over
// TLS on kept connections, with a review that a real API server sent.
func BenchmarkWebhook(b *testing.B) {
	body, err := os.ReadFile("testdata/create-deployment.json")
	if err != nil {
		b.Fatal(err)
	}
	bench := newBench(b)
	bench.gate.trusts = map[string]string{"registry.example.com/team/app:1.0": digest("a")}
	for name, handler := range map[string]http.Handler{"empty": http.HandlerFunc(letPass), "gate": bench.door.Handler()} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewTLSServer(handler)
			defer server.Close()
			client := server.Client()
			for b.Loop() {
				response, err := client.Post(server.URL+validatePath+"?timeout=10s", "application/json", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				answer, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || !bytes.Contains(answer, []byte(`"allowed":true`)) {
					b.Fatalf("%v: %s", err, answer)
				}
			}
		})
	}
}

// letPass is the least that a webhook has to do: read the uid, and echo it.
func letPass(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Request struct {
			UID string `json:"uid"`
		} `json:"request"`
	}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(admissionReview{APIVersion: admissionAPI, Kind: "AdmissionReview", Response: &admissionAnswer{UID: review.Request.UID, Allowed: true}})
}
