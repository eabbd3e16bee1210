package client_test

import (
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func TestRotateOnline(t *testing.T) {
	s := newStory(t)
	s.sign("1.0", 1, "targets", s.alice)
	online := func() map[string]string {
		view, err := s.p.Client.View(t.Context(), storyName, client.Options{Anchor: s.p.Anchor})
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"snapshot": view.Role("snapshot").Keys[0].ID, "timestamp": view.Role("timestamp").Keys[0].ID}
	}
	before := online()
	request := client.RotateOnlineRequest{Repository: storyName, Roles: []string{"snapshot"}, Signers: []tuf.Signer{s.root}}
	s.do(s.p.RotateOnline(t.Context(), request))
	after := online()
	if after["snapshot"] == before["snapshot"] || after["timestamp"] != before["timestamp"] {
		t.Errorf("%v, then %v", before, after)
	}

	// Keys that were made and that no root lists yet are not made again.
	request.Roles = []string{"snapshot", "timestamp"}
	first, err := s.p.PrepareRotateOnline(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.p.PrepareRotateOnline(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	s.do(first.Publish(t.Context()))
	both := online()
	if both["snapshot"] == after["snapshot"] || both["timestamp"] == after["timestamp"] {
		t.Errorf("%v, then %v", after, both)
	}
	// Who loses the race is told, and what is there has the very keys.
	if out, err := second.Publish(t.Context()); err != nil || out == nil || online()["snapshot"] != both["snapshot"] {
		t.Errorf("%+v, %v", out, err)
	}
	// A dry run makes none, and who has too few root keys neither.
	s.p.DryRun = true
	if _, err := s.p.PrepareRotateOnline(t.Context(), request); err != nil {
		t.Error(err)
	}
	s.p.DryRun = false
	request.Signers = []tuf.Signer{s.alice}
	if _, err := s.p.PrepareRotateOnline(t.Context(), request); err == nil {
		t.Error("without a root key")
	}
	s.do(s.p.Renew(t.Context(), client.RenewRequest{Repository: storyName, Roles: []string{"root"}, Signers: []tuf.Signer{s.root}}))
	if online()["snapshot"] != both["snapshot"] {
		t.Error("a key was made that nobody asked for")
	}
	if _, err := s.p.PrepareRotateOnline(t.Context(), client.RotateOnlineRequest{Repository: storyName, Roles: []string{"root"}, Signers: []tuf.Signer{s.root}}); err == nil {
		t.Error("root has no online key")
	}
}
