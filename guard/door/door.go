package door

import (
	"encoding/json"
	"net/http"
)

// A Door is one language that the gate speaks.
type Door struct {
	Name string // as the configuration calls it
	// Paths are where it answers: one that ends in a slash stands for all below it.
	Paths   []string
	Handler http.Handler
	// BreakGlass are the askers' doors in whose name it calls Gate.BreakGlass: what is
	// counted is there from the start, since an alert sees no step from nothing to one.
	BreakGlass []string
	// MaxBody bounds a request's body; default 64 KiB.
	MaxBody int64
	// Refuse tells a client that its request got no further than the door; nil: as
	// JSON. It never lets anything run.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, reason string)
}

// RefuseJSON answers {"error": reason}.
func RefuseJSON(w http.ResponseWriter, _ *http.Request, status int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": Clean(reason)}) // whoever asked has gone
}
