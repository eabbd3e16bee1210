package guard

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/signet-trust/signet/client"
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
	}
	decide()
	for _, room := range []int{0, 20, 0, 0} {
		d.room = room
		decide()
	}
	d.room = 1 << 20
	decide()
	decide()
	whole := 0
	for line := range strings.Lines(d.String()) {
		var e Entry
		if json.Unmarshal([]byte(line), &e) == nil {
			whole++
		}
	}
	if whole != 3 {
		t.Errorf("%d lines of 3 can be read:\n%s", whole, d)
	}
}
