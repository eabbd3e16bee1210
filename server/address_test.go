package server

import (
	"errors"
	"net/http"
	"testing"

	"github.com/signet-trust/signet/server/api"
)

// One address that asks too often is told to wait, for reads and writes apart; others,
// and this machine, are not.
func TestRatesByAddress(t *testing.T) {
	r := newRates(Rates{Reads: 0.1, Writes: 0.1}) // two at once, then one in ten seconds
	limited := func(address, method string) bool {
		for range 5 {
			if err := r.address(address, method); err != nil {
				if !errors.Is(err, api.ErrTooManyRequests) {
					t.Fatal(err)
				}
				return true
			}
		}
		return false
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if !limited("192.0.2.1", method) {
			t.Errorf("%s from one address has no limit", method)
		}
		if err := r.address("192.0.2.2", method); err != nil {
			t.Errorf("another address: %v", err)
		}
		if limited("", method) {
			t.Errorf("%s from this machine is limited", method)
		}
	}
}
