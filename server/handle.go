package server

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
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/signet-trust/signet/internal/limit"
	"github.com/signet-trust/signet/server/api"
)

// writeWait is how long an answer may take to be read by the other side.
const writeWait = time.Minute

// handle wraps every handler: it bounds how often, how much and how long, turns
// an error into a problem, counts, and logs what is ours to mend.
func (s *Server) handle(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		answer := &answer{ResponseWriter: w}
		err := s.admit(answer, r, rt)
		if err != nil {
			s.problem(answer, r, err)
		}
		elapsed := time.Since(start)
		s.metrics.request(rt.name(), r.Method, answer.status(), elapsed)
		s.logRequest(r, rt, answer, elapsed, err)
	})
}

// admit runs the handler, if there is room for it.
func (s *Server) admit(w *answer, r *http.Request, rt route) (err error) {
	select {
	case s.reads <- struct{}{}:
		defer func() { <-s.reads }()
	default:
		return fmt.Errorf("%w: %d requests at once", api.ErrBusy, cap(s.reads))
	}
	address := clientAddress(r)
	free, ok := s.rates.working.Take(address, limit.Share(cap(s.reads)))
	if !ok {
		return fmt.Errorf("%w: %d at once from %s", api.ErrTooManyRequests, limit.Share(cap(s.reads)), address)
	}
	defer free()
	if err := s.rates.address(address, r.Method); err != nil {
		return err
	}
	wait := max(rt.wait, time.Second)
	if r.ContentLength != 0 {
		if err := deadlines(w.ResponseWriter, wait, wait+rt.work+writeWait); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait+rt.work)
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = http.MaxBytesReader(w.ResponseWriter, r.Body, rt.body)
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a handler panicked", "route", rt.name(), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: panic", api.ErrInternal)
		}
	}()
	return rt.handle(w, r)
}

// deadlines bounds a client that never finishes its request, or never reads the
// answer. A request without a body has the server's own (HTTPServer): setting them
// for each costs more than serving a timestamp.
func deadlines(w http.ResponseWriter, read, write time.Duration) error {
	control := http.NewResponseController(w)
	for _, err := range []error{control.SetReadDeadline(start(read)), control.SetWriteDeadline(start(write))} {
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return nil
}

// start returns when something that may take d from now has to be done. Deadlines
// are the network's, so the clock is the machine's.
func start(d time.Duration) time.Time { return time.Now().Add(d) }

// readBody reads a body of JSON into v. The whole body is read before anything
// is decided on it, and in the time that the route allows.
func readBody(r *http.Request, v any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != api.TypeJSON {
		return fmt.Errorf("%w: expected Content-Type: %s", api.ErrMediaType, api.TypeJSON)
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fmt.Errorf("%w: expected no Content-Encoding", api.ErrMediaType)
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: read JSON: %v", api.ErrBadRequest, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: data after the end of the JSON document", api.ErrBadRequest)
	}
	return nil
}

// bodyError says why a body could not be read: too large, too slow, or cut off.
func bodyError(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("%w: at most %d bytes", api.ErrTooLarge, large.Limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return api.ErrRequestTimeout
	}
	return fmt.Errorf("%w: the body ended early: %v", api.ErrBadRequest, err)
}

// problem answers with err.
func (s *Server) problem(w *answer, r *http.Request, err error) {
	if w.code != 0 {
		// The answer has begun. Cutting it off is all that can still be said.
		panic(http.ErrAbortHandler)
	}
	p := api.NewProblem(public(err))
	h := w.Header()
	h.Set("Content-Type", api.TypeProblem)
	if h.Get("Cache-Control") == "" || p.Status != http.StatusNotFound {
		h.Set("Cache-Control", "no-store")
	}
	h.Del("ETag")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="signet"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "1")
		}
	}
	if p.Status == http.StatusRequestTimeout || p.Status == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // the rest of the body is of no use
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"type":"urn:signet:problem:internal","title":"internal error","status":500}`)
	}
	s.write(w, p.Status, body)
}

// public makes of trouble with our parts an error that the table knows and whose
// text is for anyone.
func public(err error) error {
	switch {
	case errors.Is(err, api.ErrSignerUnavailable), errors.Is(err, api.ErrUncertain): // whatever kept it from answering
	case isTrouble(err):
		return &publicError{err.Error() + "; what was acknowledged is safe, try again later", api.ErrStoreUnavailable}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the request took too long to work on; try again", api.ErrBusy)
	}
	return err
}

// isTrouble tells whether err is the database's. Its text names no address.
func isTrouble(err error) bool {
	_, ok := errors.AsType[trouble](err)
	return ok
}

// A publicError has a text for anyone and one error of the table.
type publicError struct {
	text string
	is   error
}

func (e *publicError) Error() string { return e.text }
func (e *publicError) Unwrap() error { return e.is }

// writeJSON answers with v.
func (s *Server) writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	w.Header().Set("Cache-Control", "no-store")
	s.write(w, status, body)
	return nil
}

// write sends an answer whole. A client that has gone needs none.
func (s *Server) write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		s.log.Debug("answer not delivered", "error", err)
	}
}

// logRequest writes one line: errors of ours as such, publishes always, and the
// many reads only for those who debug. No header and no body is in it.
func (s *Server) logRequest(r *http.Request, rt route, w *answer, elapsed time.Duration, err error) {
	level := slog.LevelDebug
	status := w.status()
	switch {
	case status >= 500:
		level = slog.LevelError
	case r.Method == http.MethodPost || status == http.StatusUnauthorized || status == http.StatusForbidden:
		level = slog.LevelInfo
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", status),
		slog.Duration("took", elapsed), slog.String("client", r.RemoteAddr),
	}
	if w.token != "" {
		attrs = append(attrs, slog.String("token", w.token)) // its ID
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
		if because := cause(err); because != "" {
			attrs = append(attrs, slog.String("cause", because))
		}
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// cause is what the operator is told beyond what the client is.
func cause(err error) string {
	if e, ok := errors.AsType[trouble](err); ok {
		return e.Cause()
	}
	if e, ok := errors.AsType[*signerDown](err); ok && e.cause != nil {
		return e.cause.Error()
	}
	if e, ok := errors.AsType[*uncertain](err); ok && e.cause != nil {
		if because := cause(e.cause); because != "" {
			return because
		}
		return e.cause.Error()
	}
	return ""
}

// An answer remembers what was answered.
type answer struct {
	http.ResponseWriter
	code  int
	token string // ID of the token that asked
}

// WriteHeader remembers the status.
func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
	a.ResponseWriter.WriteHeader(code)
}

// Write is an answer without a status of its own.
func (a *answer) Write(b []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) status() int {
	if a.code == 0 {
		return http.StatusOK
	}
	return a.code
}
