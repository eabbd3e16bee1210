package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

const (
	// rebaseTries is how often a publish is built anew because somebody else was first.
	rebaseTries = 5
	// sendTries is how often the same files are sent while no answer comes.
	sendTries = 4
)

// ErrUncertain says that a publish may have taken place: its answer was lost.
var ErrUncertain = errors.New("it is not known whether it was published; the same command again finds out")

// send publishes files and returns the server's generation. When an answer is
// lost, the same files are sent again, which the server takes for what it is. A
// conflict after that may be with somebody who published on top of them; the
// next build on what is there then finds nothing left to do.
func (p *Publisher) send(ctx context.Context, repository string, files []tuf.File) (int64, error) {
	body, err := json.Marshal(api.NewPublishRequest(files))
	if err != nil {
		return 0, err
	}
	lost := false
	for try := 1; ; try++ {
		var response api.PublishResponse
		err := p.call(ctx, http.MethodPost, api.PublishPath(repository), body, &response)
		switch {
		case err == nil:
			return response.Generation, nil
		case errors.Is(err, tuf.ErrConflict):
			return 0, err
		case !mayBeThere(err) || try == sendTries || ctx.Err() != nil:
			if lost || mayBeThere(err) {
				return 0, fmt.Errorf("%s: %w: %w", repository, ErrUncertain, err)
			}
			return 0, err
		}
		lost = true
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond << (try - 1)):
		}
	}
}

// mayBeThere tells whether a publish that failed with err may have taken place.
func mayBeThere(err error) bool {
	e, ok := errors.AsType[*ServerError](err)
	if !ok {
		return false
	}
	switch e.Trouble {
	case TroubleTimeout, TroubleBroken, TroubleAnswer:
		return true
	case TroubleStatus:
		problem, ok := errors.AsType[*api.ProblemError](err)
		// An internal error, or a proxy that lost its server.
		return ok && problem.Status >= 500 && !errors.Is(err, api.ErrSignerUnavailable)
	}
	return false
}

// readBack verifies, as anybody would, that the server serves what it
// acknowledged, and returns the versions of every role.
func (p *Publisher) readBack(ctx context.Context, s step, drafts []*draft) (map[string]int64, error) {
	look := func(ctx context.Context, x *Update, cur *current) error {
		overtaken := false
		for _, d := range drafts {
			version := cur.versions[d.role]
			if version > d.version() {
				overtaken = true // somebody has published on top of it
				continue
			}
			if version < d.version() || !cur.serves(d) {
				return &ServerError{Server: p.Server.URL, Trouble: TroubleAnswer,
					Detail: fmt.Sprintf("it acknowledged %s version %d of %s, but does not serve it (version %d is there)", d.role, d.version(), s.repository, version)}
			}
		}
		if s.after != nil && !overtaken {
			return s.after(ctx, x)
		}
		return nil
	}
	cur, err := p.read(ctx, s.repository, s.anchor, look)
	if err == nil {
		return cur.versions, nil
	}
	return nil, fmt.Errorf("%s acknowledged the publish, but it could not be read back: %w", p.Server.URL, err)
}

// call asks the server under /v1/ and decodes its answer into v.
func (p *Publisher) call(ctx context.Context, method, path string, body []byte, v any) error {
	return p.callUpTo(ctx, method, path, body, v, api.MaxAnswer)
}

// callUpTo does so for answers of at most max bytes. A nil v wants none.
func (p *Publisher) callUpTo(ctx context.Context, method, path string, body []byte, v any, max int64) error {
	r, err := p.Client.remote(p.Server.URL, p.Server.CA, p.Server.PlainHTTP, p.Server.Token)
	if err != nil {
		return err
	}
	header := http.Header{"Accept": {api.TypeJSON}}
	if body != nil {
		header["Content-Type"] = []string{api.TypeJSON}
	}
	a, err := r.do(ctx, method, path, header, body, max)
	if err != nil {
		return err
	}
	if a.status/100 != 2 {
		return r.trouble(a, path)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return &ServerError{Server: r.base, Trouble: TroubleAnswer, Detail: "its answer is not what was asked for", Err: err}
	}
	return nil
}

func (p *Publisher) info(ctx context.Context, path string) (*api.ServerInfo, error) {
	var info api.ServerInfo
	if err := p.call(ctx, http.MethodGet, path, nil, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

func (p *Publisher) token(ctx context.Context) (*api.TokenInfo, error) {
	var info api.TokenInfo
	if err := p.call(ctx, http.MethodGet, api.TokenPath, nil, &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// onlineKeysOn are the keys for the next root: those that the signer holds now. When
// no server is asked they are those that there are, or that were looked at before.
func (p *Publisher) onlineKeysOn(ctx context.Context, cur *current) (map[string]*tuf.Key, error) {
	if !p.apart() {
		return p.onlineKeys(ctx, cur.repository)
	}
	keys := map[string]*tuf.Key{}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		if keys[role] = p.vouched[role]; keys[role] != nil {
			continue
		}
		listed := tuf.RoleKeysOf(cur.root, role).Keys
		if len(listed) != 1 {
			return nil, fmt.Errorf("root of %s lists %d %s keys, and no server is asked which one the next root is to list", cur.repository, len(listed), role)
		}
		keys[role] = listed[0]
	}
	return keys, nil
}

// onlineKeys asks for the snapshot and timestamp keys of a repository and checks
// each against the signer's pinned identity.
func (p *Publisher) onlineKeys(ctx context.Context, repository string) (map[string]*tuf.Key, error) {
	if p.vouched != nil {
		return p.vouched, nil
	}
	if p.Server.Identity == nil {
		return nil, &tuf.Refusal{Repository: repository, Rule: tuf.RuleOnlineKey, Clause: "Signet profile: the signer",
			Detail: "the identity of the server's signer is not pinned; log in to " + p.Server.URL + " first"}
	}
	var response api.OnlineKeysResponse
	if err := p.call(ctx, http.MethodPost, api.OnlineKeysPath(repository), []byte("{}"), &response); err != nil {
		return nil, err
	}
	keys := map[string]*tuf.Key{}
	for _, online := range response.Keys {
		if online.Role != tuf.RoleSnapshot && online.Role != tuf.RoleTimestamp {
			continue
		}
		if err := online.Verify(p.Server.Identity, repository, online.Role); err != nil {
			return nil, err
		}
		keys[online.Role] = online.Key
	}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		if keys[role] == nil {
			return nil, &ServerError{Server: p.Server.URL, Trouble: TroubleAnswer, Detail: fmt.Sprintf("it handed out no %s key for %s", role, repository)}
		}
	}
	return keys, nil
}
