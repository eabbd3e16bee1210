package guard

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-trust/signet/guard/door"
)

// Whoever is slow on purpose cannot keep others from being answered, with many
// requests as little as with large ones.
func TestOneAddressCannotTakeEveryPlace(t *testing.T) {
	for name, length := range map[string]int64{"many": 0, "large": largeBody + 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const places = 8
				hold := make(chan struct{})
				g := New(Config{})
				h := NewEntrance(g, Limits{Requests: places, Wait: time.Second}).Handler(Door{Name: "test", Paths: []string{"/"}, MaxBody: 8 << 20,
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if door.Who(r) == "192.0.2.1" {
							<-hold
						}
						w.WriteHeader(http.StatusOK)
					})})
				send := func(from string) int {
					r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", http.NoBody)
					r.RemoteAddr, r.ContentLength = from+":1", length
					w := httptest.NewRecorder()
					h.ServeHTTP(w, r)
					return w.Code
				}
				var slow sync.WaitGroup
				for range 4 * places {
					slow.Go(func() { send("192.0.2.1") })
				}
				synctest.Wait()
				if status := send("192.0.2.2"); status != http.StatusOK {
					t.Errorf("another address: status %d", status)
				}
				close(hold)
				slow.Wait()
				if status := send("192.0.2.1"); status != http.StatusOK {
					t.Errorf("once it has let go: status %d", status)
				}
			})
		})
	}
}

// Bodies that take much memory are read a few at a time, whoever sends them.
func TestLargeBodiesAreFewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var atOnce, most atomic.Int64
		next := make(chan struct{})
		h := NewEntrance(New(Config{}), Limits{Wait: time.Minute}).Handler(Door{Name: "test", Paths: []string{"/"}, MaxBody: 8 << 20,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				most.Store(max(most.Load(), atOnce.Add(1)))
				<-next
				atOnce.Add(-1)
				w.WriteHeader(http.StatusOK)
			})})
		var all sync.WaitGroup
		for i := range 3 * largeAtOnce {
			all.Go(func() {
				r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", http.NoBody)
				r.RemoteAddr, r.ContentLength = fmt.Sprintf("192.0.2.%d:1", i), -int64(i%2) // a length that is not told may be any
				if i%2 == 0 {
					r.ContentLength = largeBody + 1
				}
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != http.StatusOK {
					t.Errorf("status %d", w.Code)
				}
			})
		}
		for range 3 * largeAtOnce {
			synctest.Wait()
			next <- struct{}{}
		}
		all.Wait()
		if most.Load() != largeAtOnce {
			t.Errorf("%d at once, expected %d", most.Load(), largeAtOnce)
		}
	})
}
