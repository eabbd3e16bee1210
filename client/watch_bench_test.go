package client

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// realBench is a bench whose clock is the real one: a clock of the tests' own would
// be what many askers queue for.
func realBench(b *testing.B) (bench *bench, now *fakeClock) {
	bench, now = newBench(b), newClock()
	now.at = time.Now()
	bench.config.Now = time.Now
	return bench, now
}

// add serves another repository, with so many tags, under the bench's root keys.
func (b *bench) add(name string, now *fakeClock, tags int) *fakeRepo {
	r := newRepo(b.t, name, now)
	r.rootKeys, r.targetsKeys = b.repo.rootKeys, b.repo.targetsKeys
	r.snapshotKeys, r.timestampKeys = b.repo.snapshotKeys, b.repo.timestampKeys
	r.start()
	r.edit(tuf.RoleTargets, func(md *tuf.Targets) {
		for i := range tags {
			r.must(tuf.SetTarget(md, name, fmt.Sprint("t", i), target(digestOf(fmt.Sprint(i)))))
		}
	})
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.server.repos[name] = r
	return r
}

// BenchmarkWatcher is warm answers of 100 repositories with 10 tags each, to so many
// askers at once, while the background refreshes. p99 is of single questions.
func BenchmarkWatcher(b *testing.B) {
	for _, askers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(askers, " askers"), func(b *testing.B) {
			bench, now := realBench(b)
			w := NewWatcher(bench.client(), WatchConfig{Refresh: 10 * time.Second})
			defer w.Close()
			var images []tuf.Image
			for i := range 100 {
				name := fmt.Sprint("registry.example.com/team/r", i)
				bench.add(name, now, 10)
				for tag := range 10 {
					image := tuf.Image{Repository: name, Tag: fmt.Sprint("t", tag)}
					if _, err := w.Verify(b.Context(), image, Options{}); err != nil {
						b.Fatal(err)
					}
					images = append(images, image)
				}
			}
			took := make([][]time.Duration, askers)
			var asked atomic.Int64
			var asking sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for i := range askers {
				asking.Go(func() {
					for n := i; asked.Add(1) <= int64(b.N); n++ {
						began := time.Now()
						d, err := w.Verify(b.Context(), images[n%len(images)], Options{})
						took[i] = append(took[i], time.Since(began))
						if err != nil || !d.Trusted {
							b.Errorf("%+v, %v", d, err)
							return
						}
					}
				})
			}
			asking.Wait()
			b.StopTimer()
			all := slices.Concat(took...)
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1e3, "p99-µs")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
			if s := w.Stats(); s.Troubles+s.Refusals > 0 {
				b.Errorf("%+v", s)
			}
		})
	}
}

// BenchmarkWatcherMemory is what is held of many repositories, and what a refresh that
// finds nothing new costs. The state is best put into memory: TMPDIR=/dev/shm.
func BenchmarkWatcherMemory(b *testing.B) {
	for _, size := range [][2]int{{10_000, 1}, {1000, 10}} {
		repositories, tags := size[0], size[1]
		b.Run(fmt.Sprintf("%d repositories of %d tags", repositories, tags), func(b *testing.B) {
			bench, now := realBench(b)
			var names []string
			for i := range repositories {
				names = append(names, fmt.Sprint("registry.example.com/team/some-service-", i))
				bench.add(names[i], now, tags)
			}
			heap := func() int64 {
				bench.server.taken()
				bench.server.CloseClientConnections()
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			for b.Loop() {
				before := heap()
				w := newWatcher(bench.client(), WatchConfig{Refresh: time.Hour})
				for _, name := range names {
					for tag := range tags {
						if _, err := w.Verify(b.Context(), tuf.Image{Repository: name, Tag: fmt.Sprint("t", tag)}, Options{}); err != nil {
							b.Fatal(err)
						}
					}
				}
				held := heap() - before
				for _, e := range w.all() {
					e.due.Store(0)
				}
				began := time.Now()
				w.refreshAllDue()
				b.ReportMetric(float64(time.Since(began).Microseconds())/float64(repositories), "µs/refresh")
				s := w.Stats()
				b.ReportMetric(float64(held)/(1<<20), "MiB")
				b.ReportMetric(float64(s.Bytes)/(1<<20), "MiB-counted")
				if s.Repositories != repositories || s.Confirmed != int64(repositories) || s.Answers != repositories*tags {
					b.Errorf("%+v", s)
				}
				w.Close()
			}
		})
	}
}
