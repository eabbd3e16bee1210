package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
)

// A server that is down is told once when it begins and once when it ends, whatever the
// number of its repositories, and no oftener than once a minute.
func TestRefreshesThatFailAreTold(t *testing.T) {
	var out output
	var servers []client.ServerStats
	r := &refreshLog{servers: func() []client.ServerStats { return servers }, log: slog.New(slog.NewTextHandler(&out, nil))}
	now := time.Now()
	said := 0
	look := func(what string, later time.Duration, want ...string) {
		t.Helper()
		now = now.Add(later)
		r.look(now)
		text := out.String()[said:]
		said += len(text)
		if strings.Count(text, "\n") != min(len(want), 1) {
			t.Errorf("%s: %q", what, text)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in %q", what, w, text)
			}
		}
	}
	state := func(failing int, err error) {
		servers = []client.ServerStats{{Servers: []string{"https://signet.example.com"}, Repositories: 10_000, Failing: failing, Trouble: err}}
	}
	down := errors.New("registry.example.com/app: nobody listens there")
	look("nothing is watched", 0)
	state(0, nil)
	look("all is well", time.Second)
	state(7, down)
	look("it begins", time.Second, "level=WARN", "https://signet.example.com", "nobody listens there", "failing=7", "hint=")
	state(10_000, down)
	look("it goes on", 5*time.Second)
	look("all of them, a minute later", time.Minute, "level=WARN", "failing=10000")
	look("nothing new", time.Hour)
	state(0, nil)
	look("it ends", 5*time.Second, "level=INFO", "work again", "https://signet.example.com", "after=1h1m10s")
	for i := range 20 {
		state(i%2, down)
		look(fmt.Sprint("it flaps, ", i), time.Second)
	}
	look("it stays so", time.Minute, "level=WARN")
	servers = nil // nobody asks about anything any more, which is no word of the server's
	look("nothing is watched any more", time.Hour)
	state(0, nil)
	look("it answers", time.Second, "work again")
	servers = append(servers, client.ServerStats{Servers: []string{"https://other.example.com"}, Repositories: 1, Failing: 1, Trouble: down})
	look("another one, at the same time", time.Second, "level=WARN", "https://other.example.com")
}
