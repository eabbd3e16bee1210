package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// A disk is one that may be full: it takes so many bytes more.
type disk struct {
	strings.Builder
	room int
}

func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	d.Builder.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

// A line is what encoding/json makes of its Entry, and each member stands in it.
func TestLineIsItsEntry(t *testing.T) {
	age := 1.5
	full := Entry{Time: time.Date(2026, 11, 29, 1, 2, 3, 400, time.UTC), Door: "a", Who: "b", Namespace: "c", Object: "d", Name: "e", Asked: "f", Platform: "g", Offered: "h",
		Digest: "i", Verdict: "j", Rule: "k", Mode: client.ModeWarn, Cause: tuf.RuleAbsent, Reason: "l \"m\"", Exempt: "n", Until: "o", Signers: []string{"p", "q"},
		Versions: map[string]int64{"root": 1, "targets": 2}, Offline: true, Age: &age, Peer: "r", Took: 0.042}
	for i, fields := 0, reflect.ValueOf(full); i < fields.NumField(); i++ {
		if fields.Field(i).IsZero() {
			t.Errorf("%s is not tried", fields.Type().Field(i).Name)
		}
	}
	for _, entry := range []Entry{full, {}} {
		want, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		if got := entry.appendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A disk that is full for a while costs the lines of that while, and no other: what was
// cut off is not the beginning of the next.
func TestFullDisk(t *testing.T) {
	d := &disk{room: 1 << 20}
	g := New(Config{Decisions: d})
	g.Use(signed(client.ModeEnforce), "test")
	decide := func() {
		t.Helper()
		if _, err := g.Decide(t.Context(), Asker{Door: "test"}, "registry.example.com/app:1.0"); err != nil {
			t.Errorf("nothing is decided: %v", err)
		}
		flush(t, g)
	}
	decide()
	for _, room := range []int{0, 20, 0, 0} {
		d.room = room
		decide()
	}
	d.room = 1 << 20
	decide()
	decide()
	if whole := wholeLines(d.String()); whole != 3 {
		t.Errorf("%d lines of 3 can be read:\n%s", whole, d)
	}
}

// Wherever a write is cut off, as many lines count as lost as cannot be read in the end. One
// that lacks its newline alone is whole: that is written ahead of the next.
func TestLostLinesAreCounted(t *testing.T) {
	line := string((&Entry{Verdict: VerdictDeny}).appendTo(nil)) + "\n"
	for _, later := range [][]int{{}, {0}, {1}, {len(line) - 1, 1 << 20}, {len(line), 1 << 20}, {1 << 20}} {
		for room := range 2*len(line) + 1 {
			d := &disk{room: room}
			g := New(Config{Decisions: d, Log: slog.New(slog.DiscardHandler)})
			written := 2
			g.log.add(written, []byte(line+line))
			flush(t, g)
			for _, d.room = range later {
				written++
				g.log.add(1, []byte(line))
				flush(t, g)
			}
			w := httptest.NewRecorder()
			g.Health().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			if want := fmt.Sprintf("signet_guard_log_failures_total %d\n", written-wholeLines(d.String())); !strings.Contains(w.Body.String(), want) {
				t.Errorf("cut off after %d bytes, then %v: expected %s\n%s", room, later, want, d)
			}
		}
	}
}

// wholeLines counts the lines of a log that can be read.
func wholeLines(log string) (n int) {
	for line := range strings.Lines(log) {
		var e Entry
		if json.Unmarshal([]byte(line), &e) == nil {
			n++
		}
	}
	return n
}

// A user's name is whoever's word asks: who that is stands beside it, and what it
// forges cannot.
func TestPeer(t *testing.T) {
	var log strings.Builder
	g := New(Config{Decisions: &log})
	asker := Asker{Door: "test", Who: "system:admin", Peer: "10.0.0.66"}
	g.BreakGlass(asker, "none")
	_, _ = g.Decide(t.Context(), asker, "registry.example.com/app:1.0") // the line matters
	flush(t, g)
	if n := strings.Count(log.String(), `"peer":"10.0.0.66"`); n != 2 {
		t.Errorf("%d lines of 2 name the peer:\n%s", n, log.String())
	}
}
