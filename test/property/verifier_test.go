package property_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// A view is a server as somebody sees it. An error that is tuf.ErrNotFound is a 404,
// any other a connection that broke.
type view func(file string) ([]byte, error)

// at is the honest server at a moment.
func (w *world) at(m *moment) view {
	return func(file string) ([]byte, error) {
		role, version, err := tuf.ParseFileName(file)
		if err != nil {
			return nil, err
		}
		data, ok := w.files[file]
		if role == tuf.RoleTimestamp {
			return m.timestamp, nil
		}
		if !ok || role == tuf.RoleRoot && version > m.root {
			return nil, fmt.Errorf("%s: %w", file, tuf.ErrNotFound)
		}
		return data, nil
	}
}

// today is the honest server now.
func (w *world) today() view { return w.at(w.history[len(w.history)-1]) }

// RoundTrip answers a client over a view, with ETags as the server has them.
func (v view) RoundTrip(r *http.Request) (*http.Response, error) {
	file := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	data, err := v(file)
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	switch {
	case err != nil && tuf.RuleOf(err) == "" && !isNotFound(err):
		return nil, err
	case err != nil:
		answer.StatusCode, data = http.StatusNotFound, nil
	default:
		etag := fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(data)))
		answer.Header.Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			answer.StatusCode, data = http.StatusNotModified, nil
		}
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	return answer, nil
}

// A verifier is a machine somewhere, with what it has verified.
type verifier struct {
	dir  string
	pins []string // root keys
}

// folder makes one, in memory where there is such a place: nobody pulls the plug here.
func folder() string {
	if dir, err := os.MkdirTemp("/dev/shm", "property-"); err == nil {
		return dir
	}
	return must(os.MkdirTemp("", "property-"))
}

func newVerifier(t testing, w *world) *verifier {
	t.Helper()
	v := &verifier{dir: folder()}
	t.Cleanup(func() { os.RemoveAll(v.dir) })
	for _, s := range must(firstRoot(w)).Keys {
		v.pins = append(v.pins, s.ID())
	}
	return v
}

func firstRoot(w *world) (tuf.RoleKeys, error) {
	root, err := tuf.ReadRoot(w.files["1.root.json"])
	if err != nil {
		return tuf.RoleKeys{}, err
	}
	return tuf.RoleKeysOf(root, tuf.RoleRoot), nil
}

// fork is another machine that has seen the same.
func (v *verifier) fork(t testing) *verifier {
	t.Helper()
	other := &verifier{dir: folder(), pins: v.pins}
	t.Cleanup(func() { os.RemoveAll(other.dir) })
	if err := os.CopyFS(other.dir, os.DirFS(v.dir)); err != nil {
		t.Fatalf("%v", err)
	}
	return other
}

// ask asks for a tag of app, as the server looks in a view, at a time.
func (v *verifier) ask(server view, now time.Time, tag string) (*client.Decision, outcome) {
	c := client.New(client.Config{StateDir: v.dir, Now: func() time.Time { return now }, Transport: server,
		Anchors: client.Anchors{{Pattern: "registry.example/team/*", RootKeys: v.pins, Servers: []string{"https://server.example"}}}})
	d, err := c.Verify(context.Background(), tuf.Image{Repository: app, Tag: tag}, client.Options{})
	return d, outcome{ok: err == nil && d.Trusted, digest: d.Digest, versions: d.Versions, err: err}
}

func (v *verifier) path(name string) string {
	return filepath.Join(v.dir, filepath.FromSlash(app), name)
}

// state is what the machine remembers, by role.
func (v *verifier) state() map[string][]byte {
	files := map[string][]byte{}
	names, _ := filepath.Glob(v.path("*.json"))
	for _, name := range names {
		files[strings.TrimSuffix(filepath.Base(name), ".json")] = must(os.ReadFile(name))
	}
	return files
}

// seen is the latest time that the machine remembers.
func (v *verifier) seen() (at time.Time) {
	data, err := os.ReadFile(v.path(".marks"))
	if err == nil {
		var marks struct{ Time time.Time }
		if json.Unmarshal(data, &marks) == nil {
			at = marks.Time
		}
	}
	return at
}

// remembered are versions that may not step back. Files that are damaged tell none:
// what counts is what somebody has signed, a thief too.
func (w *world) remembered(state map[string][]byte) map[string]int64 {
	versions := map[string]int64{}
	if data := state[tuf.RoleRoot]; w.genuine(tuf.RoleRoot, data) {
		versions[tuf.RoleRoot] = must(tuf.ReadRoot(data)).Signed.Version
	}
	if data := state[tuf.RoleTimestamp]; w.genuine(tuf.RoleTimestamp, data) {
		md := must(tuf.ReadTimestamp(data))
		versions[tuf.RoleTimestamp] = md.Signed.Version
		versions[tuf.RoleSnapshot] = md.Signed.Meta["snapshot.json"].Version
	}
	if data := state[tuf.RoleSnapshot]; w.genuine(tuf.RoleSnapshot, data) {
		for name, meta := range must(tuf.ReadSnapshot(data)).Signed.Meta {
			versions[strings.TrimSuffix(name, ".json")] = meta.Version
		}
	}
	return versions
}

func isNotFound(err error) bool { return errors.Is(err, tuf.ErrNotFound) }

// write and remove spoil a file of the state.
func (v *verifier) write(role string, data []byte) {
	if err := os.WriteFile(v.path(role+".json"), data, 0o600); err != nil {
		panic(err)
	}
}

func (v *verifier) remove(role string) {
	if err := os.Remove(v.path(role + ".json")); err != nil {
		panic(err)
	}
}
