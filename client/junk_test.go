package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// TestJunkRoots has a mirror make up roots for somebody who trusts none of this
// repository yet. It costs one file, or the time for first contacts, and then the
// next server is asked.
func TestJunkRoots(t *testing.T) {
	madeUp := func(n int) []byte {
		return fmt.Appendf(nil, `{"signatures":[],"signed":{"_type":"root","version":%d}}`, n)
	}
	for name, c := range map[string]struct {
		answer func(b *bench, w http.ResponseWriter, r *http.Request, n int)
		rule   tuf.Rule
		files  int // that are asked for
	}{
		"no JSON":         {func(_ *bench, w http.ResponseWriter, _ *http.Request, _ int) { w.Write([]byte("<html>")) }, tuf.RuleShape, 1},
		"another type":    {func(b *bench, w http.ResponseWriter, _ *http.Request, _ int) { w.Write(b.repo.timestamp.Bytes) }, tuf.RuleShape, 1},
		"another version": {func(_ *bench, w http.ResponseWriter, _ *http.Request, _ int) { w.Write(madeUp(2)) }, tuf.RuleVersion, 1},
		"the same again":  {func(_ *bench, w http.ResponseWriter, _ *http.Request, _ int) { w.Write(madeUp(1)) }, tuf.RuleVersion, 2},
		"slower and slower": {func(_ *bench, w http.ResponseWriter, r *http.Request, n int) {
			if n == 3 {
				<-r.Context().Done()
				return
			}
			w.Write(madeUp(n))
		}, "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.config.Timeouts.First = 5 * time.Second
			if c.rule == "" {
				b.config.Timeouts = Timeouts{Connect: time.Minute, Header: 20 * time.Second, Body: time.Minute, First: 300 * time.Millisecond}
			}
			liar := newServer(t, b.repo)
			liar.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
				file := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
				var n int
				if _, err := fmt.Sscanf(file, "%d.root.json", &n); err != nil {
					return false
				}
				c.answer(b, w, r, n)
				return true
			})
			honest := b.anchor.Servers[0]
			b.anchor.CA += liar.ca()
			b.anchor.Servers = []string{liar.URL}
			began := time.Now()
			_, err := b.verify("1.0")
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
			if c.rule != "" && tuf.RuleOf(err) != c.rule {
				t.Errorf("got %v, expected a refusal by %q", err, c.rule)
			}
			if e, ok := errors.AsType[*ServerError](err); c.rule == "" && (!ok || e.Trouble != TroubleTimeout || !strings.Contains(e.Detail, "none is trusted here yet")) {
				t.Errorf("got %v", err)
			}
			if asked := liar.taken(); len(asked) != c.files {
				t.Errorf("%d files were asked for: %v", len(asked), asked)
			}
			if _, err := b.client().FirstUse(t.Context(), appName, b.anchor); err == nil {
				t.Error("believed at first use")
			}
			b.anchor.Servers = []string{liar.URL, honest}
			b.trusts("1.0", "one")
		})
	}
}
