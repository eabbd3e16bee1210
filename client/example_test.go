package client_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// published is a small repository on a static file server, as a mirror serves it.
type published struct {
	server *httptest.Server
	anchor client.Anchor
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// publish signs one tag with a fresh key and serves the files.
func publish(repository, tag string) published {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	alice := must(tuf.NewSigner(private))
	ctx, keys, expires := context.Background(), tuf.RoleKeys{Keys: []*tuf.Key{alice.Key()}}, time.Now().Add(24*time.Hour)
	root := must(tuf.NewRoot(tuf.RootSpec{Repository: repository, Version: 1, Expires: expires, Root: keys, Targets: keys, Snapshot: keys, Timestamp: keys}))
	targets := tuf.NewTargets(1, expires)
	digest := "sha256:" + strings.Repeat("1f", 32)
	must(0, tuf.SetTarget(targets, repository, tag, tuf.Target{Digest: digest, Length: 1234}))
	must(0, tuf.Sign(ctx, root, alice))
	must(0, tuf.Sign(ctx, targets, alice))
	targetsFile := tuf.File{Role: tuf.RoleTargets, Version: 1, Bytes: must(tuf.Encode(targets))}
	snapshot := tuf.NewSnapshot(1, expires, []tuf.File{targetsFile})
	must(0, tuf.Sign(ctx, snapshot, alice))
	snapshotFile := tuf.File{Role: tuf.RoleSnapshot, Version: 1, Bytes: must(tuf.Encode(snapshot))}
	timestamp := tuf.NewTimestamp(1, expires, snapshotFile)
	must(0, tuf.Sign(ctx, timestamp, alice))
	files := map[string][]byte{
		"/tuf/" + repository + "/1.root.json":     must(tuf.Encode(root)),
		"/tuf/" + repository + "/1.targets.json":  targetsFile.Bytes,
		"/tuf/" + repository + "/1.snapshot.json": snapshotFile.Bytes,
		"/tuf/" + repository + "/timestamp.json":  must(tuf.Encode(timestamp)),
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(data)
	}))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return published{server, client.Anchor{Pattern: repository, RootKeys: []string{alice.Key().ID()}, Servers: []string{server.URL}, CA: string(ca)}}
}

// A verifier pins an anchor and asks what a tag means. What comes back is the
// digest to pull by, or a refusal.
func ExampleClient_Verify() {
	p := publish("registry.example.com/team/app", "1.0")
	defer p.server.Close()
	state := must(os.MkdirTemp("", "signet"))
	defer os.RemoveAll(state)

	c := client.New(client.Config{StateDir: state, Anchors: client.Anchors{p.anchor}})
	for _, name := range []string{"registry.example.com/team/app:1.0", "registry.example.com/team/app:2.0"} {
		image, err := tuf.ParseImage(name)
		if err != nil {
			log.Fatal(err)
		}
		decision, err := c.Verify(context.Background(), image, client.Options{})
		switch {
		case err == nil:
			fmt.Println(decision.Reference)
		case tuf.IsRefusal(err):
			fmt.Println("untrusted, by the rule", decision.Rule)
		default:
			fmt.Println("could not find out:", err)
		}
	}
	// Output:
	// registry.example.com/team/app@sha256:1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f
	// untrusted, by the rule absent
}

// Offline, the answer comes from what was verified before, while that has not
// expired.
func ExampleOptions_offline() {
	p := publish("registry.example.com/team/app", "1.0")
	state := must(os.MkdirTemp("", "signet"))
	defer os.RemoveAll(state)
	image := must(tuf.ParseImage("registry.example.com/team/app:1.0"))

	c := client.New(client.Config{StateDir: state, Anchors: client.Anchors{p.anchor}})
	must(c.Verify(context.Background(), image, client.Options{}))
	p.server.Close()
	decision, err := c.Verify(context.Background(), image, client.Options{Offline: true})
	fmt.Println(decision.Trusted, decision.Signers, err)
	// Output:
	// true [targets] <nil>
}

// The most specific anchor decides for a name.
func ExampleAnchors_For() {
	anchors := client.Anchors{
		{Pattern: "registry.example.com/**", MinRoot: 1},
		{Pattern: "registry.example.com/team/*", MinRoot: 2},
	}
	fmt.Println(must(anchors.For("registry.example.com/team/app")).Pattern)
	_, err := anchors.For("docker.io/library/alpine")
	fmt.Println(err)
	// Output:
	// registry.example.com/team/*
	// docker.io/library/alpine: no trust anchor is set for this name (TUF §5.2)
}

// An Updater runs the update workflow alone, for TUF programs with files and
// stores of their own.
func ExampleUpdater() {
	p := publish("registry.example.com/team/app", "1.0")
	defer p.server.Close()
	folder := must(os.MkdirTemp("", "signet"))
	defer os.RemoveAll(folder)
	get := func(_ context.Context, name string, max int64, _ string) (client.Fetched, error) {
		response, err := p.server.Client().Get(p.server.URL + "/tuf/registry.example.com/team/app/" + name)
		if err != nil {
			return client.Fetched{}, err
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusNotFound {
			return client.Fetched{}, tuf.ErrNotFound
		}
		data, err := io.ReadAll(io.LimitReader(response.Body, max+1))
		return client.Fetched{Bytes: data}, err
	}

	ctx := context.Background()
	store := must(client.OpenDir(folder))
	root := must(get(ctx, "1.root.json", 1<<20, "")) // trusted, since it came with the program
	must(0, store.Save(ctx, []tuf.File{{Role: tuf.RoleRoot, Version: 1, Bytes: root.Bytes}}))
	updater := client.Updater{Fetch: get, Store: store}
	update := must(updater.Refresh(ctx))
	match := must(update.Search(ctx, "registry.example.com/team/app:1.0"))
	must(0, update.Save(ctx))
	fmt.Println(match.Role, match.Target.Length)
	// Output:
	// targets 1234
}
