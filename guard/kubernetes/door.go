package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
)

// A Gate decides, and logs what it decided. *guard.Gate does.
type Gate interface {
	// Ask decides about one image. Its error is nil if and only if the image may run.
	Ask(ctx context.Context, asker door.Asker, q door.Question) (*client.Decision, error)
	// Recall answers at once, as Ask would, the questions whose answers are in memory.
	// The answers to others have no Decision.
	Recall(ctx context.Context, asker door.Asker, questions []door.Question) []door.Answer
	// BreakGlass says aloud that an object passes although it is refused.
	BreakGlass(asker door.Asker, reason string)
}

// Rules are what the policy says of Kubernetes. *policy.Kubernetes are such.
type Rules interface {
	// Rewrites tells whether the image of a container is to be pinned.
	Rewrites(namespace, kind, container string) bool
	// Exempt tells whether a namespace is not looked at.
	Exempt(namespace string) bool
	// BreakGlass tells whether annotations let an object pass unverified, and why.
	BreakGlass(namespace string, annotations map[string]string) (reason string, ok bool)
}

// Config is what a Door is made of.
type Config struct {
	Gate  Gate
	Rules func() Rules // those that are in force now; asked once for each review
	Log   *slog.Logger

	// Timeout is how long a review may take; default 8 s. A webhook's is less where
	// the API server says that it waits no longer.
	Timeout time.Duration
	// ProviderTimeout is the same for Gatekeeper, which itself answers within the
	// 3 s that its own webhook has; default 2 s.
	ProviderTimeout time.Duration
	// Parallel is how many images of one review are decided at once; default 8.
	Parallel int
}

// Limits on what is read. An object has at most 1.5 MiB (etcd), and an update
// carries two, with managedFields.
const (
	maxReview   = 8 << 20
	maxQuestion = 1 << 20 // of an ImageReview, a ProviderRequest
	maxImages   = 500     // different ones in one review
)

// A Door answers an API server and Gatekeeper.
type Door struct {
	config Config
}

// New makes a door.
func New(config Config) *Door {
	if config.Timeout <= 0 {
		config.Timeout = 8 * time.Second
	}
	if config.ProviderTimeout <= 0 {
		config.ProviderTimeout = 2 * time.Second
	}
	if config.Parallel <= 0 {
		config.Parallel = 8
	}
	return &Door{config}
}

// Open returns the door as a gate serves it.
func (d *Door) Open() door.Door {
	return door.Door{Name: "kubernetes", Paths: []string{"/kubernetes/"}, Handler: d.Handler(), MaxBody: maxReview,
		BreakGlass: []string{doorMutate, doorValidate, doorImageReview},
		Refuse: func(w http.ResponseWriter, r *http.Request, status int, reason string) {
			switch r.URL.Path {
			case "/kubernetes/mutate", "/kubernetes/validate", "/kubernetes/imagereview":
				door.RefuseJSON(w, r, status, reason)
			default: // the provider's, or a Provider with a slip in its url
				refuseProvider(w, r, status, reason)
			}
		}}
}

// Handler serves all of the door's addresses.
func (d *Door) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/kubernetes/mutate", d.serve(maxReview, d.config.Timeout, d.mutate, refuseText))
	mux.Handle("/kubernetes/validate", d.serve(maxReview, d.config.Timeout, d.validate, refuseText))
	mux.Handle("/kubernetes/imagereview", d.serve(maxQuestion, d.config.Timeout, d.imageReview, refuseText))
	mux.Handle(providerPath, d.serve(maxQuestion, d.config.ProviderTimeout, d.provide, refuseProvider))
	mux.HandleFunc("/kubernetes/", func(w http.ResponseWriter, r *http.Request) {
		// A Provider with a slip in its url lands here, and reads the body only.
		refuseProvider(w, r, http.StatusNotFound, "nothing is asked here; ask at /kubernetes/mutate, validate, imagereview or provider")
	})
	return mux
}

// What the door is called in the log, by who asks.
const (
	doorMutate      = "kubernetes/mutate"
	doorValidate    = "kubernetes/validate"
	doorImageReview = "kubernetes/imagereview"
	doorProvider    = "kubernetes/provider"
)

// A badRequest is a body that cannot be answered in its own form.
type badRequest struct {
	status int
	error
}

// refuseText tells an API server, which goes by the status, that it gets no answer.
func refuseText(w http.ResponseWriter, _ *http.Request, status int, reason string) {
	http.Error(w, "signet: "+reason, status)
}

// serve reads a JSON body, and writes the answer to it as JSON. What cannot be
// answered is left to refuse.
func (d *Door) serve(limit int64, most time.Duration, answer func(ctx context.Context, who string, body map[string]any) (any, error),
	refuse func(w http.ResponseWriter, r *http.Request, status int, reason string),
) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if trouble := recover(); trouble != nil {
				d.panicked(r.Context(), trouble)
				refuse(w, r, http.StatusInternalServerError, "the question could not be answered")
			}
		}()
		response, err := func() (any, error) {
			body, err := readBody(w, r, limit)
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(r.Context(), within(r, most))
			defer cancel()
			return answer(ctx, door.Who(r), body)
		}()
		buffer := buffers.Get().(*bytes.Buffer)
		defer recycle(buffer)
		if err == nil {
			err = write(buffer, response)
		}
		if err != nil {
			status := http.StatusInternalServerError
			if bad, ok := errors.AsType[badRequest](err); ok {
				status = bad.status
			}
			if status == http.StatusMethodNotAllowed {
				w.Header().Set("Allow", http.MethodPost)
			}
			d.config.Log.WarnContext(r.Context(), "question that cannot be read", "path", r.URL.Path, "peer", r.RemoteAddr, "error", err)
			refuse(w, r, status, err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(buffer.Bytes())
	})
}

// write writes an answer as JSON. The most frequent one needs no reflection.
func write(to *bytes.Buffer, response any) error {
	if own, ok := response.(interface{ appendTo(buffer []byte) []byte }); ok {
		to.Write(own.appendTo(to.AvailableBuffer()))
		return nil
	}
	return json.NewEncoder(to).Encode(response)
}

// buffers are for the bodies of questions and answers.
var buffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 8<<10)) }}

// recycle keeps a buffer for another body, unless it grew large.
func recycle(buffer *bytes.Buffer) {
	if buffer.Reset(); buffer.Cap() <= 64<<10 {
		buffers.Put(buffer)
	}
}

// readBody takes a POST of JSON.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) (map[string]any, error) {
	if r.Method != http.MethodPost {
		return nil, badRequest{http.StatusMethodNotAllowed, fmt.Errorf("%s is not taken here, only POST", r.Method)}
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, badRequest{http.StatusUnsupportedMediaType, fmt.Errorf("the content type is %q, and has to be application/json", clip(r.Header.Get("Content-Type")))}
	}
	buffer := buffers.Get().(*bytes.Buffer) // what is read of it is copied
	defer recycle(buffer)
	buffer.Grow(int(min(max(r.ContentLength, 0), 32<<10)) + bytes.MinRead) // a large one has to come before it takes memory
	_, err := buffer.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, badRequest{http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", limit)}
	}
	if err != nil {
		return nil, badRequest{http.StatusBadRequest, fmt.Errorf("read the body: %w", err)}
	}
	body, err := readObject(buffer.Bytes())
	if err != nil {
		return nil, badRequest{http.StatusBadRequest, err}
	}
	return body, nil
}

// within is how long an answer may take: API servers say how long they wait, and an
// answer that comes later is none. A fifth is left for the way.
func within(r *http.Request, most time.Duration) time.Duration {
	waits, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil || waits <= 0 {
		return most
	}
	return min(most, waits-waits/5)
}

func (d *Door) panicked(ctx context.Context, trouble any) {
	d.config.Log.ErrorContext(ctx, "panic while a question was answered", "panic", fmt.Sprint(trouble), "stack", string(debug.Stack()))
}
