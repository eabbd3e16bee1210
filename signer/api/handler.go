package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"

	"github.com/signet-trust/signet/tuf"
)

// maxAtOnce is how many bodies are worked on at once; it bounds memory.
const maxAtOnce = 8

// A Signer is what the handler serves.
type Signer interface {
	Identity(ctx context.Context) (*Identity, error)
	OnlineKeys(ctx context.Context, repository string) ([]OnlineKey, error)
	FreshOnlineKeys(ctx context.Context, repository string, roles []string) ([]OnlineKey, error)
	Sign(ctx context.Context, r SignRequest) (*Signed, error)
	Refresh(ctx context.Context, r RefreshRequest) (*Signed, error)
	Last(ctx context.Context, repository string) (*Last, error)
}

// NewHandler serves a signer over HTTP. It knows nothing of who asks: put it
// behind mutual TLS (NewServer). ready says what keeps the signer from signing.
func NewHandler(signer Signer, ready func(context.Context) error, log *slog.Logger) http.Handler {
	h := &handler{log: log, slots: make(chan struct{}, maxAtOnce)}
	mux := http.NewServeMux()
	mux.Handle("GET /readyz", h.handle(func(r *http.Request, _ []byte) (any, error) {
		return struct {
			Ready bool `json:"ready"`
		}{true}, ready(r.Context())
	}))
	mux.Handle("GET /v1/identity", h.handle(func(r *http.Request, _ []byte) (any, error) {
		identity, err := signer.Identity(r.Context())
		if err != nil {
			return nil, err
		}
		return identity.json(), nil
	}))
	mux.Handle("POST /v1/online-keys", h.handle(func(r *http.Request, body []byte) (any, error) {
		var req onlineKeysRequestJSON
		if err := decode(body, &req); err != nil {
			return nil, err
		}
		if err := tuf.CheckRepository(req.Repository); err != nil {
			return nil, err
		}
		if len(req.Fresh) > 0 {
			keys, err := signer.FreshOnlineKeys(r.Context(), req.Repository, req.Fresh)
			return onlineKeysJSON{keys}, err
		}
		keys, err := signer.OnlineKeys(r.Context(), req.Repository)
		return onlineKeysJSON{keys}, err
	}))
	mux.Handle("POST /v1/sign", h.handle(func(r *http.Request, body []byte) (any, error) {
		req, err := DecodeSignRequest(body)
		if err != nil {
			return nil, err
		}
		signed, err := signer.Sign(r.Context(), *req)
		if err != nil {
			return nil, err
		}
		return signed.json(), nil
	}))
	mux.Handle("POST /v1/refresh", h.handle(func(r *http.Request, body []byte) (any, error) {
		var req RefreshRequest
		if err := errors.Join(decode(body, &req), req.Check()); err != nil {
			return nil, err
		}
		signed, err := signer.Refresh(r.Context(), req)
		if err != nil {
			return nil, err
		}
		return signed.json(), nil
	}))
	mux.Handle("POST /v1/last", h.handle(func(r *http.Request, body []byte) (any, error) {
		repository, err := decodeRepository(body)
		if err != nil {
			return nil, err
		}
		last, err := signer.Last(r.Context(), repository)
		if err != nil {
			return nil, err
		}
		return lastJSON{last.Root, toJSON(last.Roles), last.Signed.json()}, nil
	}))
	mux.Handle("/", h.handle(func(r *http.Request, _ []byte) (any, error) {
		return nil, fmt.Errorf("%w: no such path or method", ErrBadRequest)
	}))
	return mux
}

type handler struct {
	log   *slog.Logger
	slots chan struct{}
}

// handle reads the body within bounds, calls serve, answers, and logs what is
// the signer's own to mend.
func (h *handler) handle(serve func(r *http.Request, body []byte) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		answer, err := h.serve(w, r, serve)
		if err != nil {
			if writeProblem(w, err) {
				h.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "peer", peerName(r), "error", err)
			} else {
				h.log.WarnContext(r.Context(), "request refused", "method", r.Method, "path", r.URL.Path, "peer", peerName(r), "error", err)
			}
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // a caller that has gone asks again
	})
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, serve func(*http.Request, []byte) (any, error)) ([]byte, error) {
	var body []byte
	if r.Method == http.MethodPost {
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
			return nil, fmt.Errorf("%w: the body's type is not application/json", ErrBadRequest)
		}
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		var err error
		if body, err = readBody(w, r); err != nil {
			return nil, err
		}
	}
	answer, err := serve(r, body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}

// readBody reads the whole body, at most MaxBody bytes of it.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBody {
		return nil, errTooLarge
	}
	var body bytes.Buffer
	if r.ContentLength > 0 {
		// No more than this on a caller's word alone.
		body.Grow(min(int(r.ContentLength), 4<<20) + bytes.MinRead)
	}
	if _, err := io.Copy(&body, http.MaxBytesReader(w, r.Body, MaxBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, err
		}
		return nil, fmt.Errorf("%w: read body: %v", ErrBadRequest, err)
	}
	return body.Bytes(), nil
}

func decodeRepository(body []byte) (string, error) {
	var req repositoryJSON
	if err := decode(body, &req); err != nil {
		return "", err
	}
	return req.Repository, tuf.CheckRepository(req.Repository)
}

// peerName is the name in the caller's certificate.
func peerName(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	return r.TLS.PeerCertificates[0].Subject.CommonName
}
