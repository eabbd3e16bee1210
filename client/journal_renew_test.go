package client

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// TestRenewTwice has the answer to a renewal get lost: the same command again signs the
// bytes of the first, whatever their expiry would be by now.
func TestRenewTwice(t *testing.T) {
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets} {
		for name, later := range map[string]time.Duration{"an hour later": time.Hour, "a weekend later": 65 * time.Hour} {
			b := newBench(t)
			p, changes := b.publisher()
			renew := func() error {
				keys := b.repo.targetsKeys
				if role == tuf.RoleRoot {
					keys = b.repo.rootKeys
				}
				_, err := p.Renew(t.Context(), RenewRequest{Repository: appName, Roles: []string{role}, Signers: keys})
				return err
			}
			b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.URL.Path, "/v1/publish/") {
					w.WriteHeader(http.StatusBadGateway)
					return true
				}
				return false
			})
			if err := renew(); !errors.Is(err, ErrUncertain) {
				t.Fatalf("%s: a lost answer: %v", role, err)
			}
			b.clock.Add(later)
			b.repo.release()
			b.server.setIntercept(nil)
			if err := renew(); err != nil {
				t.Errorf("%s, %s: %v", role, name, err)
			} else if first, again := (*changes)[0].Files[0].SHA256, (*changes)[1].Files[0].SHA256; first != again {
				t.Errorf("%s, %s: other bytes were signed", role, name)
			}
		}
	}
}
