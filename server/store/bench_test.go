package store_test

import (
	"bytes"
	"testing"

	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/test/postgres"
	"github.com/signet-trust/signet/tuf"
)

// BenchmarkTimestamp is the read that every client makes every time.
func BenchmarkTimestamp(b *testing.B) {
	each(b, func(b *testing.B, db *store.DB) {
		if _, err := db.Publish(b.Context(), publication(0)); err != nil {
			b.Fatal(err)
		}
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := db.File(b.Context(), "registry.example/app", tuf.RoleTimestamp, 0); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkPublish is one publish of a targets file of 1,000 tags, durable.
func BenchmarkPublish(b *testing.B) {
	each(b, func(b *testing.B, db *store.DB) {
		base := int64(0)
		for b.Loop() {
			p := publication(base)
			p.Files[1].Bytes = bytes.Repeat([]byte("x"), 100<<10)
			generation, err := db.Publish(b.Context(), p)
			if err != nil {
				b.Fatal(err)
			}
			base = generation
		}
	})
}

func each(b *testing.B, run func(*testing.B, *store.DB)) {
	c, err := postgres.Start(postgres.Config{Fsync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.Stop(); err != nil {
			b.Error(err)
		}
	})
	for name, url := range map[string]func() (string, error){
		"sqlite":   func() (string, error) { return b.TempDir() + "/signet.db", nil },
		"postgres": c.Create,
	} {
		b.Run(name, func(b *testing.B) {
			url, err := url()
			if err != nil {
				b.Fatal(err)
			}
			db, err := store.Open(b.Context(), url)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				if err := db.Close(); err != nil {
					b.Error(err)
				}
			})
			b.ReportAllocs()
			run(b, db)
		})
	}
}
