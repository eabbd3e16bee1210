package drill

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// address is where the copy is served. No name ends in .invalid (RFC 2606), and
// nothing is sent: the world answers in this process.
const address = "https://drill.invalid"

// A world is a server with the online keys of one repository, in memory. Its
// honest side takes what CheckPublish takes, as a server does; its hostile side
// serves whatever it likes, signed with the online keys.
type world struct {
	repository string
	now        func() time.Time
	identity   tuf.Signer
	online     map[string]tuf.Signer // by role
	state      tuf.State
	files      map[string][]byte // by name, as "3.root.json"
	published  int64
}

// clone returns a world of its own in the same state.
func (w *world) clone() *world {
	c := *w
	c.online, c.files = maps.Clone(w.online), maps.Clone(w.files)
	c.state.Roles = maps.Clone(w.state.Roles)
	return &c
}

// newKey makes a key that lives as long as the drill.
func newKey() (tuf.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return tuf.NewSigner(private)
}

// newWorld returns a world with fresh online keys and nothing in it.
func newWorld(repository string, now func() time.Time) (*world, error) {
	w := &world{repository: repository, now: now, online: map[string]tuf.Signer{}, files: map[string][]byte{}}
	w.state.Roles = map[string]tuf.File{}
	var err error
	if w.identity, err = newKey(); err != nil {
		return nil, err
	}
	return w, w.renewOnline()
}

// renewOnline makes fresh online keys, which the next root lists.
func (w *world) renewOnline() error {
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		key, err := newKey()
		if err != nil {
			return err
		}
		w.online[role] = key
	}
	return nil
}

// publish takes files as an honest server does.
func (w *world) publish(ctx context.Context, files []tuf.File) error {
	rules := tuf.PublishRules{Now: w.now(), Online: map[string][]*tuf.Key{}}
	for role, key := range w.online {
		rules.Online[role] = []*tuf.Key{key.Key()}
	}
	var cur *tuf.State
	if w.published > 0 {
		cur = &w.state
	}
	next, changed, err := tuf.CheckPublish(w.repository, cur, files, rules)
	if err != nil || len(changed) == 0 {
		return err
	}
	w.state = *next
	for _, file := range changed {
		w.files[file.Name()] = file.Bytes
	}
	return w.release(ctx, w.state.Snapshot.Version+1, w.state.Timestamp.Version+1)
}

// force serves files that nobody checked, as a hostile server would.
func (w *world) force(ctx context.Context, files ...tuf.File) error {
	for _, file := range files {
		w.files[file.Name()] = file.Bytes
		w.state.Roles[file.Role] = file
	}
	return w.release(ctx, w.state.Snapshot.Version+1, w.state.Timestamp.Version+1)
}

// release signs snapshot and timestamp for what is there.
func (w *world) release(ctx context.Context, snapshot, timestamp int64) error {
	roles := slices.SortedFunc(maps.Values(w.state.Roles), func(a, b tuf.File) int { return strings.Compare(a.Role, b.Role) })
	list := tuf.NewSnapshot(snapshot, w.now().Add(7*day), roles)
	if err := tuf.Sign(ctx, list, w.online[tuf.RoleSnapshot]); err != nil {
		return err
	}
	data, err := tuf.Encode(list)
	if err != nil {
		return err
	}
	w.state.Snapshot = tuf.File{Role: tuf.RoleSnapshot, Version: snapshot, Bytes: data}
	stamp := tuf.NewTimestamp(timestamp, w.now().Add(day), w.state.Snapshot)
	if err := tuf.Sign(ctx, stamp, w.online[tuf.RoleTimestamp]); err != nil {
		return err
	}
	if data, err = tuf.Encode(stamp); err != nil {
		return err
	}
	w.state.Timestamp = tuf.File{Role: tuf.RoleTimestamp, Version: timestamp, Bytes: data}
	w.files[w.state.Snapshot.Name()], w.files["timestamp.json"] = w.state.Snapshot.Bytes, data
	w.published++
	return nil
}

// RoundTrip answers as a server does.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	status, kind, body := http.StatusOK, api.TypeJSON, []byte(nil)
	answer, err := w.answer(r)
	if err == nil {
		if raw, ok := answer.([]byte); ok {
			body = raw
		} else {
			body, err = json.Marshal(answer)
		}
	}
	if err != nil {
		problem := api.NewProblem(err)
		status, kind = problem.Status, api.TypeProblem
		if body, err = json.Marshal(problem); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {kind}}, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}

func (w *world) answer(r *http.Request) (any, error) {
	path := r.URL.EscapedPath()
	switch {
	case r.Method == http.MethodPost && path == api.PublishPath(w.repository):
		var request api.PublishRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			return nil, fmt.Errorf("%w: %w", api.ErrBadRequest, err)
		}
		if err := w.publish(r.Context(), request.Metadata()); err != nil {
			return nil, err
		}
		return api.PublishResponse{Repository: w.repository, Generation: w.published, Versions: w.state.Versions()}, nil
	case r.Method == http.MethodPost && path == api.OnlineKeysPath(w.repository):
		return w.onlineKeys(r.Context())
	case r.Method == http.MethodGet:
		name, ok := strings.CutPrefix(path, api.FilePath(w.repository, ""))
		if data := w.files[name]; ok && data != nil {
			return data, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", path, tuf.ErrNotFound)
}

// onlineKeys hands the online keys out, signed by the identity.
func (w *world) onlineKeys(ctx context.Context) (*api.OnlineKeysResponse, error) {
	response := &api.OnlineKeysResponse{}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		online := tuf.OnlineKey{Repository: w.repository, Role: role, Key: w.online[role].Key()}
		payload, err := online.Payload()
		if err != nil {
			return nil, err
		}
		if online.Signature, err = tuf.SignPayload(ctx, payload, w.identity); err != nil {
			return nil, err
		}
		response.Keys = append(response.Keys, online)
	}
	return response, nil
}
