package guard

import (
	"bytes"
	"context"
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
	url  string
	http *http.Client
}

// maxDecision bounds what a gate may answer.
const maxDecision = 1 << 20

// NewRemote returns the gate at an address: https://HOST:PORT, or unix:PATH for a
// socket on this machine. transport carries what goes over TLS.
func NewRemote(address string, transport *http.Transport) (*Remote, error) {
	r := &Remote{http: &http.Client{
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
	response, err := r.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the gate: %w", err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxDecision+1))
	if err != nil || len(data) > maxDecision {
		return nil, errors.Join(errors.New("the gate's answer did not arrive whole"), err)
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusForbidden, http.StatusServiceUnavailable:
	default:
		return nil, fmt.Errorf("the gate answers %s: %s", response.Status, clean(string(data)))
	}
	d := &client.Decision{}
	if err := json.Unmarshal(data, d); err != nil || d.Policy == nil {
		return nil, fmt.Errorf("the gate answers %s with what is no decision: %s", response.Status, clean(string(data)))
	}
	if d.Reason == "" && response.StatusCode != http.StatusOK {
		d.Reason = "the gate refuses, and does not say why"
	}
	switch {
	case response.StatusCode == http.StatusForbidden:
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
