package guard

import (
	"io"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/policy"
)

// BenchmarkAsk is what the gate adds to a policy that answers at once: the time bound,
// metrics and one line of the decision log, from as many askers as there are cores.
func BenchmarkAsk(b *testing.B) {
	g := New(Config{Decisions: io.Discard})
	g.Use(decider(func(policy.Question) (*client.Decision, error) {
		return &client.Decision{Trusted: true, Image: "registry.example.com/app:1.0", Digest: digestA, Signers: []string{"alice"},
			Versions: map[string]int64{"root": 1, "timestamp": 7, "snapshot": 5, "targets": 3}, Policy: &client.Ruling{Allowed: true, Rule: "app", Mode: client.ModeEnforce}}, nil
	}), "test")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := g.Ask(b.Context(), Asker{Door: "decide", Who: "CN=alice"}, question("registry.example.com/app:1.0", "")); err != nil {
				b.Fatal(err)
			}
		}
	})
}
