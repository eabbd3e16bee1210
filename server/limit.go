package server

import (
	"fmt"
	"net/http"

	"github.com/signet-trust/signet/internal/limit"
	"github.com/signet-trust/signet/server/api"
)

// Rates say how often one client address or one token may ask, in requests a
// second; ten times as many may come at once. Zero is the default, below zero no
// limit. Loopback addresses are limited by token only: there, a proxy in front
// sets its own limits.
type Rates struct {
	Reads  float64 // GET and HEAD, by address; default 500
	Writes float64 // POST, by address; default 20
	Token  float64 // by token; default 50
	Wrong  float64 // wrong tokens, by address; default 1
}

type rates struct {
	reads, writes, tokens, wrong *limit.Buckets
	working                      limit.Counts // requests at work by address
}

func newRates(r Rates) *rates {
	setDefault(&r.Reads, 500)
	setDefault(&r.Writes, 20)
	setDefault(&r.Token, 50)
	setDefault(&r.Wrong, 1)
	return &rates{
		reads: limit.NewBuckets(r.Reads), writes: limit.NewBuckets(r.Writes),
		tokens: limit.NewBuckets(r.Token), wrong: limit.NewBuckets(r.Wrong),
	}
}

// address counts a request of one address.
func (r *rates) address(address string, method string) error {
	if address == "" {
		return nil // loopback
	}
	set := r.reads
	if method != http.MethodGet && method != http.MethodHead {
		set = r.writes
	}
	if !set.Allow(address) {
		return fmt.Errorf("%w from %s", api.ErrTooManyRequests, address)
	}
	return nil
}

// token counts a request with one token.
func (r *rates) token(id string) error {
	if !r.tokens.Allow(id) {
		return fmt.Errorf("%w with token %s", api.ErrTooManyRequests, id)
	}
	return nil
}

// wrongToken returns err, which tells what is wrong, or that there were too many.
// Tokens that are good pass whatever others from the same address do.
func (r *rates) wrongToken(address string, err error) error {
	if !r.wrong.Allow(address) {
		return fmt.Errorf("%w: too many wrong tokens", api.ErrTooManyRequests)
	}
	return err
}

// clientAddress returns the address that a request came from, "" for loopback.
// Headers that a client could set are not believed.
func clientAddress(r *http.Request) string { return limit.Address(r.RemoteAddr) }
