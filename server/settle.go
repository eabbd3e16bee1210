package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/server/api"
	signerapi "github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// Bounds on finding out what came of a publish.
const (
	settleWork   = 10 * time.Second
	settleRounds = 3
)

// An attempt is one publish at work, and what is known of it.
type attempt struct {
	token Token
	files []tuf.File
	next  *tuf.State // the state that the signer was last asked to sign
	sent  bool       // the signer may have recorded next, or one before it
	open  bool       // the signer may be at work on it still
}

// signFor is sign for a publish. It notes what the signer may have recorded: what
// it has recorded, the next publish or refresh makes public.
func (s *Server) signFor(ctx context.Context, repository string, head *Head, a *attempt) (*signerapi.Signed, error) {
	var asked, connected, answered atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:              func(string) { asked.Store(true) },
		GotConn:              func(httptrace.GotConnInfo) { connected.Store(true); answered.Store(false) },
		GotFirstResponseByte: func() { answered.Store(true) },
	})
	signed, err := s.sign(ctx, repository, head, a.next)
	switch {
	case err == nil:
		a.sent, a.open = true, false
	case known(err) || (asked.Load() && !connected.Load()) || isDial(err):
	default:
		a.sent, a.open = true, connected.Load() && !answered.Load()
	}
	if head.Retired > 0 && tuf.IsRefusal(err) {
		err = &signerDown{why: fmt.Sprintf("it refuses the first root of a name that was retired (%v); where it has not retired the name itself, its operator runs signet-signer retire, as signet-server retire said", err), cause: err}
	}
	return signed, err
}

// isDial tells whether err is of a connection that never was.
func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// known tells whether err says of itself that nothing was recorded: a refusal or
// a conflict.
func known(err error) bool {
	return tuf.IsRefusal(err) || errors.Is(err, tuf.ErrConflict) || errors.Is(err, api.ErrForbidden)
}

// settle finds out what came of a publish that the signer may have recorded, by
// asking it what it signed last, and finishing that. When that is this publish, it
// is acknowledged. When it is not, and the signer cannot be at work on it any
// more, failed stands. Otherwise nobody can say, and nobody does.
func (s *Server) settle(ctx context.Context, repository string, a *attempt, failed error) (*api.PublishResponse, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWork)
	defer cancel()
	var err error
	for range settleRounds {
		var moved bool
		moved, err = s.recover(ctx, repository, a)
		head, headErr := s.head(ctx, repository)
		if headErr != nil {
			err = headErr
			break
		}
		if s.holds(repository, head, a.files) {
			s.log.Info("published, though the signer's answer was lost", "repository", repository, "token", a.token.ID, "error", failed)
			return acknowledge(repository, head.Generation, &head.State), nil
		}
		if errors.Is(err, tuf.ErrNotFound) {
			err = nil // it has signed nothing for this repository
		}
		if err != nil {
			break
		}
		if !moved && !a.open {
			return nil, failed
		}
		if !moved {
			break
		}
	}
	s.log.Warn("it is not known whether a publish took place", "repository", repository, "token", a.token.ID,
		"versions", a.next.Versions(), "error", failed, "cause", cause(failed), "asked", err)
	return nil, &uncertain{cause: failed}
}

// holds tells whether head has just these files.
func (s *Server) holds(repository string, head *Head, files []tuf.File) bool {
	if head.Generation == 0 {
		return false
	}
	_, changed, err := tuf.CheckPublish(repository, &head.State, files, tuf.PublishRules{Now: s.now(), Limits: s.config.Limits})
	return err == nil && len(changed) == 0
}

// made tells whether last is what the signer was asked to sign for this attempt.
func (a *attempt) made(last *signerapi.Last) bool {
	if a == nil || a.next == nil || !bytes.Equal(a.next.Root.Bytes, last.Root) || len(a.next.Roles) != len(last.Roles) {
		return false
	}
	for _, file := range last.Roles {
		if !bytes.Equal(a.next.Roles[file.Role].Bytes, file.Bytes) {
			return false
		}
	}
	return true
}

// sameOwner tells whether last is by the root keys of this attempt, all of them.
// Its root is signed by those, so it is a publish of the same people, which never
// was acknowledged; without it the signer could sign nothing of theirs any more.
func (a *attempt) sameOwner(last *signerapi.Last) bool {
	if a == nil || a.next == nil {
		return false
	}
	ours, err := tuf.ReadRoot(a.next.Root.Bytes)
	if err != nil {
		return false
	}
	theirs, err := tuf.ReadRoot(last.Root)
	if err != nil {
		return false
	}
	x, y := tuf.RoleKeysOf(ours, tuf.RoleRoot), tuf.RoleKeysOf(theirs, tuf.RoleRoot)
	ids := func(keys []*tuf.Key) map[string]bool {
		set := map[string]bool{}
		for _, k := range keys {
			set[k.ID()] = true
		}
		return set
	}
	return x.Threshold == y.Threshold && maps.Equal(ids(x.Keys), ids(y.Keys))
}

// uncertain is api.ErrUncertain. The cause is for the log.
type uncertain struct{ cause error }

// Error says what the caller can do.
func (e *uncertain) Error() string {
	return "it is not known whether the publish took place; send the same again to find out"
}

// Is finds the error of the table. The cause is not unwrapped: it is another one.
func (e *uncertain) Is(target error) bool { return target == api.ErrUncertain }
