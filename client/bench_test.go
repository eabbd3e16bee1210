package client

import (
	"fmt"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// BenchmarkVerifyWarm is one verification with warm state and a warm connection.
func BenchmarkVerifyWarm(b *testing.B) {
	for _, tags := range []int{1, 1000} {
		b.Run(fmt.Sprint(tags, " tags"), func(b *testing.B) {
			bench := newBench(b)
			bench.repo.edit(tuf.RoleTargets, func(md *tuf.Targets) {
				for i := range tags {
					bench.repo.must(tuf.SetTarget(md, appName, fmt.Sprint("t", i), target(digestOf(fmt.Sprint(i)))))
				}
			})
			c := bench.client()
			image := tuf.Image{Repository: appName, Tag: "1.0"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Verify(b.Context(), image, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
