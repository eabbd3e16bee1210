package guard

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/tuf"
)

// A Remote is a gate elsewhere, which is asked at its door decide.
type Remote struct {
	address string // as it is configured
	url     string
	http    *http.Client
}

// maxDecision bounds what a gate may answer.
const maxDecision = 1 << 20

// NewRemote returns the gate at an address: https://HOST:PORT, or unix:PATH for a
// socket on this machine. transport carries what goes over TLS.
func NewRemote(address string, transport *http.Transport) (*Remote, error) {
	r := &Remote{address: address, http: &http.Client{
		Transport: transport,
		// Whoever redirects us is not whom we asked.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return nil, errors.New("the gate's address unix: lacks a path")
		}
		r.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}
		r.url = "http://gate" + PathDecide
		return r, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("the gate's address %q is neither https://HOST:PORT nor unix:PATH", address)
	}
	r.url = "https://" + u.Host + PathDecide
	return r, nil
}

// Ask asks the gate. It returns what Gate.Ask does; a gate that does not answer, or
// answers two things at once, is a refusal.
func (r *Remote) Ask(ctx context.Context, asker Asker, q Question) (*client.Decision, error) {
	decision, err := r.ask(ctx, asker, q)
	if err != nil {
		return door.Refused(q, decision, err), err
	}
	return decision, nil
}

func (r *Remote) ask(ctx context.Context, asker Asker, q Question) (*client.Decision, error) {
	body, err := json.Marshal(DecideRequest{Image: q.Image, Platform: q.Platform, Digest: q.Offered, Object: asker.Object})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	// What the gate did not decide is in no log of decisions: nobody is sent to look there.
	undecided := func(format string, args ...any) *client.Decision {
		return &client.Decision{Image: clean(q.Image), Signers: []string{}, Hint: fmt.Sprintf(format, args...)}
	}
	response, err := r.http.Do(request)
	if _, distrusted := errors.AsType[*tls.CertificateVerificationError](err); distrusted {
		return undecided("the certificate at %s is not taken: gate-ca has to be its authority, and it has to be in date and for that name", r.address), fmt.Errorf("ask the gate: %w", err)
	}
	if err != nil {
		return undecided("the gate did not answer: look whether signet-guard runs and its /readyz is well, and whether this machine reaches %s, which is its address here", r.address), fmt.Errorf("ask the gate: %w", err)
	}
	defer response.Body.Close()
	nothing := undecided("the gate decided nothing: look whether it is signet-guard, with its door decide, that answers at %s; its own messages, or /metrics (signet_guard_turned_away_total), tell whom it turns away", r.address)
	data, err := io.ReadAll(io.LimitReader(response.Body, maxDecision+1))
	if err != nil || len(data) > maxDecision {
		return nothing, errors.Join(errors.New("the gate's answer did not arrive whole"), err)
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusForbidden, http.StatusServiceUnavailable, http.StatusBadRequest:
	default:
		return nothing, fmt.Errorf("the gate answers %s: %s", response.Status, clean(string(data)))
	}
	d := &client.Decision{}
	if err := json.Unmarshal(data, d); err != nil || d.Policy == nil {
		return nothing, fmt.Errorf("the gate answers %s with what is no decision: %s", response.Status, clean(string(data)))
	}
	if d.Reason == "" && response.StatusCode != http.StatusOK {
		d.Reason = "the gate refuses, and does not say why"
	}
	switch {
	case response.StatusCode == http.StatusForbidden, response.StatusCode == http.StatusBadRequest:
		return d, &tuf.Refusal{Repository: d.Repository, Rule: d.Rule, Detail: d.Reason}
	case response.StatusCode != http.StatusOK:
		return d, errors.New(d.Reason)
	case !d.Policy.Allowed:
		return d, errors.New("the gate's answer says two things")
	case q.Offered != "" && d.Trusted && d.Digest != q.Offered:
		return d, fmt.Errorf("the gate answers about %s, and was asked about %s", d.Digest, q.Offered)
	}
	return d, nil
}
