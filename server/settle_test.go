package server_test

import (
	"context"
	"errors"
	"testing"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
)

// loses has answers of the signer's Sign, and of more calls, get lost.
func loses(h *harness.Harness, more ...string) {
	h.SignerFaults.After(func(_ context.Context, call string) error {
		for _, c := range append(more, "Sign") {
			if c == call {
				return errors.New("the answer was lost")
			}
		}
		return nil
	})
}

// The signer's answer is lost, but the signer can be asked what it signed.
func TestLostAnswerIsSettled(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	files := p.First(t)
	loses(h)
	if _, err := p.Client.Publish(t.Context(), app, files...); err != nil {
		t.Fatalf("the first publish: %v", err)
	}
	p.Tag(t, "1.0", harness.Digest("one"))
	done := p.Publish(t)
	if got := tags(t, h, app)["1.0"]; got != harness.Digest("one") || done.Versions["targets"] != 2 {
		t.Fatalf("1.0 means %q after %+v", got, done)
	}
}

// A publish that may be live tomorrow is not said to be none.
func TestLostAnswerIsUncertain(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	loses(h, "Last")
	p.Tag(t, "1.0", harness.Digest("one"))
	file := p.Next(t)
	_, err := p.Client.Publish(t.Context(), app, file)
	if !errors.Is(err, api.ErrUncertain) || errors.Is(err, api.ErrSignerUnavailable) {
		t.Fatalf("got %v, expected api.ErrUncertain", err)
	}
	h.SignerFaults.After(nil)
	if _, err := p.Client.Publish(t.Context(), app, file); err != nil {
		t.Fatalf("the same again: %v", err)
	}
	if got := tags(t, h, app)["1.0"]; got != harness.Digest("one") {
		t.Fatalf("1.0 means %q", got)
	}
}

// The signer did not take it, and says so when it is asked.
func TestLostRequestIsSettled(t *testing.T) {
	h := harness.Start(t)
	p := h.Publisher(t, app)
	p.Init(t)
	h.SignerFaults.Before(func(_ context.Context, call string) error {
		if call == "Sign" {
			return errors.New("its disk is full")
		}
		return nil
	})
	p.Tag(t, "1.0", harness.Digest("one"))
	if _, err := p.Client.Publish(t.Context(), app, p.Next(t)); !errors.Is(err, api.ErrSignerUnavailable) {
		t.Fatalf("got %v, expected api.ErrSignerUnavailable", err)
	}
	if n := len(tags(t, h, app)); n != 0 {
		t.Fatalf("%d tags", n)
	}
}
