package server_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/signer"
	"github.com/signet-trust/signet/test/harness"
)

// lines is a log that several may write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A signer that was put back as it was signs versions that are stored already. The store
// takes none of them; that is told, with what to do, and does not pass for a refresh.
func TestSignerThatIsBehind(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	dir := t.TempDir()
	backup := filepath.Join(dir, "backup.db")
	if _, err := h.Signer.Backup(t.Context(), backup, true); err != nil {
		t.Fatal(err)
	}
	for range 60 {
		p.Publish(t)
	}
	config := signer.Config{Dir: filepath.Join(dir, "signer"), Now: h.Clock.Now}
	if _, err := signer.Restore(t.Context(), config, backup, 1); err != nil { // a gap that is far too small
		t.Fatal(err)
	}
	old, err := signer.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	var log lines
	s := server.New(server.Config{Store: harness.NewStore(h.Store, &harness.Faults{}), Signer: old, Now: h.Clock.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	h.Clock.Advance(13 * time.Hour)
	if n := s.RefreshDue(t.Context()); n != 0 || !strings.Contains(log.String(), "signet-signer raise") {
		t.Errorf("refreshed %d; the log says %q", n, log.String())
	}
	listening := httptest.NewServer(s.Handler())
	defer listening.Close()
	p.Client = &harness.Client{URL: listening.URL, HTTP: http.DefaultClient, Token: h.AdminToken}
	file := p.Next(t)
	if _, err := p.Client.Publish(t.Context(), app, file); !errors.Is(err, api.ErrSignerUnavailable) || !strings.Contains(err.Error(), "signet-signer raise") {
		t.Errorf("publishing: %v", err)
	}
	if _, err := old.RaiseAll(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Client.Publish(t.Context(), app, file); err != nil {
		t.Errorf("once the signer was raised: %v", err)
	}
}
