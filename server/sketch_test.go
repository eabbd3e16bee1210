package server

import (
	"encoding/json"
	"testing"
	"time"
)

// What is read of a file without its targets is what stands in the whole of it.
func TestReadSketch(t *testing.T) {
	const expires = `"expires":"2030-01-02T03:04:05Z"`
	for claim, c := range map[string]struct{ file, delegations string }{
		"targets":                 {`{"signatures":[],"signed":{"_type":"targets",` + expires + `,"targets":{"delegations":{}},"version":1}}`, ""},
		"targets with delegation": {`{"signatures":[{"keyid":"signed"}],"signed":{"delegations":{"expires":7},` + expires + `,"targets":{}}}`, `{"expires":7}`},
		"root":                    {`{"signatures":[],"signed":{"_type":"root",` + expires + `,"keys":{},"roles":{"targets":{}},"version":1}}`, ""},
	} {
		s, err := readSketch([]byte(c.file))
		if want := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC); err != nil || !s.expires.Equal(want) || string(s.delegations) != c.delegations {
			t.Errorf("%s: %v, %s, %v", claim, s.expires, s.delegations, err)
		}
		if !json.Valid([]byte(c.file)) {
			t.Errorf("%s is no JSON", claim)
		}
	}
	for _, file := range []string{``, `{}`, `{"signed":{}}`, `{"signed":{"expires":7,"targets":{}}}`, `{"signed":{"targets":{},` + expires + `}}`} {
		if s, err := readSketch([]byte(file)); err == nil {
			t.Errorf("%s is read as %+v", file, s)
		}
	}
}
