package containerd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// Codes of the OCI distribution spec, and one of ours for what is not a verdict.
const (
	codeDenied          = "DENIED"
	codeNameInvalid     = "NAME_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeUnsupported     = "UNSUPPORTED"
	codeUnavailable     = "UNAVAILABLE"
)

// statusRefused ends containerd's search: see the package's comment.
const statusRefused = http.StatusMultipleChoices

// answerWithin bounds the time to write an answer.
const answerWithin = 5 * time.Second

// maxReason bounds the reason in a status line.
const maxReason = 800

// elsewhere sends containerd on to the next host.
func elsewhere(w http.ResponseWriter, r *http.Request, code, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		_, _ = w.Write(problem(code, why)) // whoever asked has gone
	}
}

// refuse ends containerd's search, and says why: in the status line, since the answer
// to a HEAD has no body, and in the body that the OCI distribution spec describes.
func refuse(w http.ResponseWriter, r *http.Request, code, reason string) {
	reason = line(reason)
	body := problem(code, reason)
	if r.ProtoMajor == 1 && statusLine(w, r, reason, body) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusRefused)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// statusLine writes an answer with a reason of ours in its first line, which
// net/http's writer does not offer, and ends the connection. It tells whether it
// could.
func statusLine(w http.ResponseWriter, r *http.Request, reason string, body []byte) bool {
	header := w.Header().Clone()
	conn, out, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	// The server's own limits do not hold any more: who takes no answer gets none.
	_ = conn.SetDeadline(time.Now().Add(answerWithin))
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", fmt.Sprint(len(body)))
	header.Set("Connection", "close")
	fmt.Fprintf(out, "HTTP/1.1 %d signet: %s\r\n", statusRefused, reason)
	_ = header.Write(out) // as with the rest: whoever asked may have gone
	_, _ = out.WriteString("\r\n")
	if r.Method != http.MethodHead {
		_, _ = out.Write(body)
	}
	_ = out.Flush()
	return true
}

func problem(code, message string) []byte {
	type oci struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]oci{"errors": {{code, message}}})
	if err != nil {
		return []byte(`{"errors":[]}`)
	}
	return body
}

// line makes a reason fit for a status line: whatever it quotes, no header can
// follow from it.
func line(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason] + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}
