package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Client asks a remote signer. It is safe for concurrent use. Each call is
// bounded by its context and by the configured time-out, and asking the same
// again does no harm.
type Client struct {
	base string
	http *http.Client
}

// ClientConfig says where a signer is and how to prove who asks.
type ClientConfig struct {
	URL     string        // https://signer.example:4444
	TLS     TLSFiles      // the CA of the signer, and the certificate to show
	Timeout time.Duration // of one call; 0 means 30 seconds
}

// NewClient returns a client of the signer at an https URL. It does not connect
// yet. Certificates are read anew for each connection, so that they can be
// replaced while the client is in use.
func NewClient(c ClientConfig) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("signer's address: %w", err)
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("signer's address %q: expected https://HOST:PORT", u.Redacted())
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	dial, err := c.TLS.dialer(u.Hostname())
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialTLSContext:         dial,
		ResponseHeaderTimeout:  c.Timeout,
		IdleConnTimeout:        60 * time.Second,
		MaxIdleConnsPerHost:    16,
		MaxConnsPerHost:        64,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		Protocols:              new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true) // no proxy is asked, and no redirect followed
	return &Client{
		base: "https://" + u.Host,
		http: &http.Client{
			Transport:     transport,
			Timeout:       c.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close ends idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Ready returns nil when the signer can sign.
func (c *Client) Ready(ctx context.Context) error {
	var answer struct {
		Ready bool `json:"ready"`
	}
	return c.call(ctx, http.MethodGet, "/readyz", nil, &answer)
}

// Identity returns who the signer is.
func (c *Client) Identity(ctx context.Context) (*Identity, error) {
	var answer identityJSON
	if err := c.call(ctx, http.MethodGet, "/v1/identity", nil, &answer); err != nil {
		return nil, err
	}
	if answer.Key == nil {
		return nil, fmt.Errorf("%w: it answered without its identity key", ErrUnavailable)
	}
	return answer.identity(), nil
}

// OnlineKeys returns the keys that the repository's root is to list, one for
// snapshot and one for timestamp. They are made when there are none.
func (c *Client) OnlineKeys(ctx context.Context, repository string) ([]OnlineKey, error) {
	var answer onlineKeysJSON
	err := c.call(ctx, http.MethodPost, "/v1/online-keys", repositoryJSON{repository}, &answer)
	return answer.Keys, err
}

// FreshOnlineKeys has the signer make fresh keys for roles, unless it has some that no
// root lists yet, and returns the newest of snapshot and of timestamp.
func (c *Client) FreshOnlineKeys(ctx context.Context, repository string, roles []string) ([]OnlineKey, error) {
	if err := CheckFresh(repository, roles); err != nil {
		return nil, err
	}
	var answer onlineKeysJSON
	err := c.call(ctx, http.MethodPost, "/v1/online-keys", onlineKeysRequestJSON{repository, roles}, &answer)
	return answer.Keys, err
}

// CheckFresh refuses a request for fresh keys of other roles than snapshot and
// timestamp, or of one twice.
func CheckFresh(repository string, roles []string) error {
	if err := tuf.CheckRepository(repository); err != nil {
		return err
	}
	for i, role := range roles {
		if role != tuf.RoleSnapshot && role != tuf.RoleTimestamp || slices.Contains(roles[:i], role) {
			return &tuf.Refusal{Repository: repository, Rule: tuf.RuleOnlineKey, Clause: "Signet profile: the signer",
				Detail: fmt.Sprintf("fresh keys are made for snapshot and timestamp, each named once, not for %.200q", roles)}
		}
	}
	if len(roles) == 0 {
		return &tuf.Refusal{Repository: repository, Rule: tuf.RuleOnlineKey, Clause: "Signet profile: the signer", Detail: "no role is named that fresh keys are to be made for"}
	}
	return nil
}

// Sign has the signer check r and sign snapshot and timestamp for it.
func (c *Client) Sign(ctx context.Context, r SignRequest) (*Signed, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	var answer signedJSON
	if err := c.call(ctx, http.MethodPost, "/v1/sign", signRequestJSON{r.Repository, r.Roots, toJSON(r.Roles)}, &answer); err != nil {
		return nil, err
	}
	signed := answer.signed()
	return &signed, nil
}

// Refresh has the signer sign a fresh timestamp. It returns tuf.ErrConflict when
// the signer has signed another snapshot since, which Last returns, and
// tuf.ErrNotFound when it has signed none, so that Sign comes first.
func (c *Client) Refresh(ctx context.Context, r RefreshRequest) (*Signed, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	var answer signedJSON
	if err := c.call(ctx, http.MethodPost, "/v1/refresh", r, &answer); err != nil {
		return nil, err
	}
	signed := answer.signed()
	return &signed, nil
}

// Last returns all that the signer signed last for a repository.
func (c *Client) Last(ctx context.Context, repository string) (*Last, error) {
	var answer lastJSON
	if err := c.call(ctx, http.MethodPost, "/v1/last", repositoryJSON{repository}, &answer); err != nil {
		return nil, err
	}
	return &Last{Root: answer.Root, Roles: fromJSON(answer.Roles), Signed: answer.signed()}, nil
}

// call sends one request and reads its answer, or the error in its place.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		if len(data) > MaxBody {
			return errTooLarge
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		// A nil key is not sent; it tells the transport that a request which met
		// a connection that the signer had closed may go out again.
		req.Header["Idempotency-Key"] = nil
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if len(data) > MaxBody {
		return fmt.Errorf("%w: its answer is larger than %d bytes", ErrUnavailable, MaxBody)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusOK && media == "application/json":
		if err := json.Unmarshal(data, answer); err != nil {
			return fmt.Errorf("%w: read its answer: %v", ErrUnavailable, err)
		}
		return nil
	case media == ProblemType:
		var p Problem
		if err := json.Unmarshal(data, &p); err == nil {
			return p.Err()
		}
	}
	return fmt.Errorf("%w: %s answered %s, which no signer does", ErrUnavailable, c.base, resp.Status)
}

// unreachable wraps what kept a call from being answered. A caller that gave up
// is told so; anything else is the signer's absence.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL twice
	}
	return fmt.Errorf("%w: %s: %v", ErrUnavailable, c.base, err)
}
