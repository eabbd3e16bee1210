package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// metric returns the value of one metric without labels.
func metric(t *testing.T, h *harness.Harness, name string) float64 {
	t.Helper()
	for line := range bytes.Lines(get(t, http.DefaultClient, h.HealthURL+"/metrics").Body) {
		if value, ok := bytes.CutPrefix(line, fmt.Appendf(nil, "%s ", name)); ok {
			f, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// An operator sees that timestamps are about to expire, whatever keeps the server
// from refreshing them.
func TestOldestTimestamp(t *testing.T) {
	h := harness.Start(t)
	oldest := func() time.Time { return time.Unix(int64(metric(t, h, "signet_oldest_timestamp_expiry_seconds")), 0) }
	h.Server.RefreshDue(t.Context())
	if got := oldest(); got.Unix() != 0 {
		t.Fatalf("%s without any repository", got)
	}
	h.Publisher(t, app).Init(t)
	h.Clock.Advance(time.Hour)
	other := h.Publisher(t, "registry.example/team/other")
	other.Init(t)
	h.Server.RefreshDue(t.Context())
	head, err := h.Store.Head(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	timestamp, err := tuf.ReadTimestamp(head.State.Timestamp.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := oldest(); !got.Equal(timestamp.Signed.Expires) {
		t.Fatalf("%s, expected that of %s, %s", got, app, timestamp.Signed.Expires)
	}
	h.SignerFaults.Down(broken{})
	h.Clock.Advance(48 * time.Hour)
	h.Server.RefreshDue(t.Context())
	if got := oldest(); !got.Equal(timestamp.Signed.Expires) {
		t.Fatalf("%s while the signer is down, expected %s", got, timestamp.Signed.Expires)
	}
	h.SignerFaults.Down(nil)
	h.Clock.Advance(time.Hour)
	if n := h.Server.RefreshDue(t.Context()); n != 2 {
		t.Fatalf("refreshed %d", n)
	}
	if got := oldest(); !got.After(h.Clock.Now()) {
		t.Fatalf("%s after the refresh", got)
	}
}
