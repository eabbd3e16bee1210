package main

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// What the file demands is demanded, and told; a repository that was there before
// goes on, and is warned about.
func TestHardwareRule(t *testing.T) {
	const old, fresh = "registry.example/team/old", "registry.example/team/new"
	data := filepath.Join(t.TempDir(), "data")
	s := startServer(t, data)
	p := harness.NewPublisher(t, s.client(t), old)
	p.Init(t)
	s.stop()

	s = startServer(t, data, "--config", write(t, "config.yaml", "repositories:\n  - pattern: registry.example/**\n    hardware: {touch: true}\n", 0o600))
	c := s.client(t)
	var info api.ServerInfo
	if err := c.Call(t.Context(), http.MethodGet, api.ServerPathOf(fresh), nil, &info); err != nil || info.Hardware == nil || !info.Hardware.Touch {
		t.Errorf("told %+v, %v", info.Hardware, err)
	}
	q := harness.NewPublisher(t, c, fresh)
	if _, err := c.Publish(t.Context(), fresh, q.First(t)...); !errors.Is(err, tuf.RuleNotAttested) {
		t.Errorf("a new repository with keys in files: %v", err)
	}
	p.Client = c
	p.Publish(t)
	s.stop()
	if text := s.stderr.String(); !strings.Contains(text, "do not meet the demand for hardware") || !strings.Contains(text, "repository="+old) {
		t.Errorf("the log does not warn:\n%s", text)
	}
}
