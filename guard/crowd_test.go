package guard

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
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
						if Who(r) == "192.0.2.1" {
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
