package harness

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A Client speaks to a server as its API says, without any of the checks that
// package client makes.
type Client struct {
	URL   string
	Token string
	HTTP  *http.Client
}

// An Answer is what a server answered, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends one request; body nil means none. Errors are those of the connection.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body []byte) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.Token != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", api.TypeJSON)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &Answer{resp.StatusCode, resp.Header, data}, nil
}

// Err returns what the answer's problem means, nil for a success.
func (a *Answer) Err() error {
	if a.Status < 300 || a.Status == http.StatusNotModified {
		return nil
	}
	return api.ReadProblem(a.Status, a.Header.Get("Content-Type"), a.Body)
}

// Call sends v (nil: nothing) and reads the answer into answer.
func (c *Client) Call(ctx context.Context, method, path string, v, answer any) error {
	var body []byte
	if v != nil {
		var err error
		if body, err = json.Marshal(v); err != nil {
			return err
		}
	}
	a, err := c.Do(ctx, method, path, nil, body)
	if err != nil {
		return err
	}
	if err := a.Err(); err != nil {
		return err
	}
	return json.Unmarshal(a.Body, answer)
}

// Publish publishes files.
func (c *Client) Publish(ctx context.Context, repository string, files ...tuf.File) (*api.PublishResponse, error) {
	var answer api.PublishResponse
	if err := c.Call(ctx, http.MethodPost, api.PublishPath(repository), api.NewPublishRequest(files), &answer); err != nil {
		return nil, err
	}
	return &answer, nil
}

// File reads a metadata file.
func (c *Client) File(ctx context.Context, repository, name string) ([]byte, error) {
	a, err := c.Do(ctx, http.MethodGet, api.FilePath(repository, name), nil, nil)
	if err != nil {
		return nil, err
	}
	return a.Body, a.Err()
}

// State reads the current files, by the newest root, as they are served.
func (c *Client) State(ctx context.Context, repository string) (*tuf.State, error) {
	var info api.RepositoryResponse
	if err := c.Call(ctx, http.MethodGet, api.RepositoryPath(repository), nil, &info); err != nil {
		return nil, err
	}
	state := &tuf.State{Roles: map[string]tuf.File{}}
	for _, f := range info.Files {
		data, err := c.File(ctx, repository, f.Name)
		if err != nil {
			return nil, err
		}
		file := tuf.File{Role: f.Role, Version: f.Version, Bytes: data}
		switch f.Role {
		case tuf.RoleRoot:
			state.Root = file
		case tuf.RoleSnapshot:
			state.Snapshot = file
		case tuf.RoleTimestamp:
			state.Timestamp = file
		default:
			state.Roles[f.Role] = file
		}
	}
	return state, nil
}

// A Publisher publishes to one repository with keys in memory.
type Publisher struct {
	Client     *Client
	Repository string
	RootKey    tuf.Signer
	TargetsKey tuf.Signer
	Now        func() time.Time

	Root    *tuf.Root    // the newest that was built
	Targets *tuf.Targets // the next to publish, after its version is raised
}

// NewKey makes a P-256 key.
func NewKey(t testing.TB) tuf.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tuf.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// NewPublisher returns a publisher with fresh keys.
func NewPublisher(t testing.TB, c *Client, repository string) *Publisher {
	t.Helper()
	return &Publisher{Client: c, Repository: repository, RootKey: NewKey(t), TargetsKey: NewKey(t), Now: time.Now}
}

// First builds and signs root and targets, version 1.
func (p *Publisher) First(t testing.TB) []tuf.File {
	t.Helper()
	ctx := context.Background()
	var online api.OnlineKeysResponse
	if err := p.Client.Call(ctx, http.MethodPost, api.OnlineKeysPath(p.Repository), nil, &online); err != nil {
		t.Fatal(err)
	}
	spec := tuf.RootSpec{
		Repository: p.Repository, Version: 1, Expires: p.Now().AddDate(1, 0, 0),
		Root: keys(p.RootKey), Targets: keys(p.TargetsKey),
	}
	for _, k := range online.Keys {
		if k.Role == tuf.RoleSnapshot {
			spec.Snapshot.Keys = append(spec.Snapshot.Keys, k.Key)
		} else {
			spec.Timestamp.Keys = append(spec.Timestamp.Keys, k.Key)
		}
	}
	var err error
	if p.Root, err = tuf.NewRoot(spec); err != nil {
		t.Fatal(err)
	}
	p.Targets = tuf.NewTargets(1, p.Now().AddDate(0, 0, 180))
	return []tuf.File{p.SignRoot(t), p.SignTargets(t)}
}

func keys(signers ...tuf.Signer) tuf.RoleKeys {
	var r tuf.RoleKeys
	for _, s := range signers {
		r.Keys = append(r.Keys, s.Key())
	}
	return r
}

// Init creates the repository.
func (p *Publisher) Init(t testing.TB) *api.PublishResponse {
	t.Helper()
	done, err := p.Client.Publish(context.Background(), p.Repository, p.First(t)...)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// Tag makes tag mean digest in the next targets.
func (p *Publisher) Tag(t testing.TB, tag, digest string) {
	t.Helper()
	if err := tuf.SetTarget(p.Targets, p.Repository, tag, tuf.Target{Digest: digest, Length: 500}); err != nil {
		t.Fatal(err)
	}
}

// Next raises the version of targets and signs it.
func (p *Publisher) Next(t testing.TB) tuf.File {
	t.Helper()
	p.Targets.Signed.Version++
	return p.SignTargets(t)
}

// Publish publishes the next targets.
func (p *Publisher) Publish(t testing.TB) *api.PublishResponse {
	t.Helper()
	done, err := p.Client.Publish(context.Background(), p.Repository, p.Next(t))
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// SignRoot signs Root as it is, by RootKey and by more.
func (p *Publisher) SignRoot(t testing.TB, more ...tuf.Signer) tuf.File {
	t.Helper()
	p.Root.ClearSignatures()
	if err := tuf.Sign(context.Background(), p.Root, append([]tuf.Signer{p.RootKey}, more...)...); err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(p.Root)
	if err != nil {
		t.Fatal(err)
	}
	return tuf.File{Role: tuf.RoleRoot, Version: p.Root.Signed.Version, Bytes: data}
}

// SignTargets signs Targets as it is.
func (p *Publisher) SignTargets(t testing.TB) tuf.File {
	t.Helper()
	p.Targets.ClearSignatures()
	if err := tuf.Sign(context.Background(), p.Targets, p.TargetsKey); err != nil {
		t.Fatal(err)
	}
	data, err := tuf.Encode(p.Targets)
	if err != nil {
		t.Fatal(err)
	}
	return tuf.File{Role: tuf.RoleTargets, Version: p.Targets.Signed.Version, Bytes: data}
}

// Digest returns the digest of some text, to stand for an image.
func Digest(format string, args ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, format, args...))
	return "sha256:" + hex.EncodeToString(sum[:])
}
