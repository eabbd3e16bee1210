package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// BenchmarkDecide is what a policy costs beside the verifier: the last of n rules
// decides.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 100, MaxRules} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			var text strings.Builder
			text.WriteString("version: 1\nrules:\n")
			for i := range n {
				fmt.Fprintf(&text, "  - {name: r%d, images: [registry.example.com/team-%d/**], current: true, max-age: {checked: 1h, signed: 90d}}\n", i, i)
			}
			image := tuf.Image{Repository: fmt.Sprintf("registry.example.com/team-%d/app", n-1), Tag: "1.0"}
			answer := trusted(image)
			v := verifier(func(tuf.Image, client.Options) (*client.Decision, error) { return answer, nil })
			e := New(Config{Policy: mustRead(b, text.String()), Verifier: v, Anchors: trustAll(), Now: func() time.Time { return noon }})
			question := Question{Image: image.String()}
			b.ReportAllocs()
			for b.Loop() {
				if d, err := e.Decide(b.Context(), question); err != nil || !d.Trusted {
					b.Fatal(err)
				}
			}
		})
	}
}
