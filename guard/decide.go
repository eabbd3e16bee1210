package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

// PathDecide is where the door named decide answers.
const PathDecide = "/v1/decide"

// A DecideRequest is what is posted to it. The answer is a client.Decision, with
// status 200 if the image may run, 403 if it may not, 503 if it could not be found
// out, 400 if the image's name or the digest is none: who looks at the status alone is
// not misled.
type DecideRequest struct {
	Image    string `json:"image"`
	Platform string `json:"platform,omitempty"` // "linux/amd64"
	// Digest is what a registry gives for the image's name: the answer is about it.
	Digest string `json:"digest,omitempty"`
	// Object says what is to run the image, for the decision log.
	Object string `json:"object,omitempty"`
}

// DecideDoor answers POST /v1/decide.
func DecideDoor(g *Gate) Door {
	return Door{Name: "decide", Paths: []string{PathDecide}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			door.RefuseJSON(w, r, http.StatusMethodNotAllowed, "ask with POST")
			return
		}
		var q DecideRequest
		if status, err := ReadJSON(r, &q); err != nil {
			door.RefuseJSON(w, r, status, err.Error())
			return
		}
		if q.Image == "" {
			door.RefuseJSON(w, r, http.StatusBadRequest, "the member image is missing: it names what is to run")
			return
		}
		question := Question{Question: policy.Question{Image: q.Image, Platform: q.Platform}, Offered: q.Digest}
		decision, err := g.Ask(r.Context(), Asker{Door: "decide", Who: door.Who(r), Object: q.Object}, question)
		_, none := question.Malformed()
		writeDecision(w, decision, err, none != nil)
	})}
}

func writeDecision(w http.ResponseWriter, decision *client.Decision, err error, malformed bool) {
	if err != nil {
		decision.Hint = door.Next(decision.Image, decision, err)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case err != nil && malformed: // the asker's mistake, whatever else was found
		w.WriteHeader(http.StatusBadRequest)
	case tuf.IsRefusal(err):
		w.WriteHeader(http.StatusForbidden)
	case err != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(decision) // whoever asked has gone
}

// ReadJSON reads a body that is one JSON document of known members into v, and
// returns the status to refuse it with where it is not.
func ReadJSON(r *http.Request, v any) (status int, err error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return http.StatusUnsupportedMediaType, errors.New("expected Content-Type: application/json")
	}
	data, err := io.ReadAll(r.Body)
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", large.Limit)
	}
	if err != nil {
		return http.StatusBadRequest, errors.New("the body did not arrive")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return http.StatusBadRequest, fmt.Errorf("read JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return http.StatusBadRequest, errors.New("data after the end of the JSON document")
	}
	return 0, nil
}
