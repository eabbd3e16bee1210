package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// watchedRepositories are held at once.
const watchedRepositories = 10_000

// barMemory is what a watcher may hold by default (client.WatchConfig.MaxBytes).
const barMemory = 256 // MiB

// holdCommand makes this program one that watches repositories: its memory is that of
// a process with nothing else in it.
const holdCommand = "-hold-repositories"

// memory measures a process that watches ten thousand repositories. To publish so many
// would take minutes, so their metadata is made and served by this process, in the
// form that a server has.
func (b *bench) memory() error {
	files, err := b.manyRepositories(watchedRepositories)
	if err != nil {
		return err
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(data)
	}))
	defer server.Close()
	anchor := client.Anchor{Pattern: watchedPattern, RootKeys: []string{b.publisher.Key().ID()}, Servers: []string{server.URL},
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))}
	data, err := json.Marshal(anchor)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "anchor.json"), data, 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, pass := range []struct{ repositories, bound int }{{watchedRepositories, 0}, {watchedRepositories / 2, 8}} { // with room, and with too little
		c, err := b.measure(os.Environ(), self, holdCommand, "anchor.json", "watched", strconv.Itoa(pass.repositories), strconv.Itoa(pass.bound))
		if err != nil {
			return err
		}
		var held holding
		if err := json.Unmarshal([]byte(c.Out), &held); err != nil {
			return err
		}
		name, bar := fmt.Sprintf("memory/%d-repositories", pass.repositories), barMemory
		if pass.bound > 0 {
			name, bar = fmt.Sprintf("%s-in-%d-mib", name, pass.bound), pass.bound
		} else if held.Repositories != pass.repositories {
			return fmt.Errorf("%d repositories are watched, want %d", held.Repositories, pass.repositories)
		}
		row(name+"-counted", mib(held.Counted), "MiB", float64(bar), false)
		row(name+"-heap", mib(held.Heap), "MiB", float64(bar), false)
		if pass.bound == 0 {
			row(name+"-peak", mib(c.Peak), "MiB", float64(bar), false)
		}
		fmt.Printf("# %d repositories held, %d answers, %d dropped; process %s MiB at its peak; %s ms CPU to verify each the first time, %s s in all\n", held.Repositories,
			held.Answers, held.Dropped, number(mib(c.Peak)), number(ms(c.CPU)/float64(pass.repositories)), number(c.Wall.Seconds()))
	}
	return nil
}

const watchedPattern = "registry.example.com/watched/*"

func watchedName(i int) string {
	return strings.TrimSuffix(watchedPattern, "*") + fmt.Sprintf("some-service-%05d", i)
}

// manyRepositories makes the metadata of so many repositories of one tag each, by path
// at a server.
func (b *bench) manyRepositories(n int) (map[string][]byte, error) {
	online, err := newKey()
	if err != nil {
		return nil, err
	}
	offline := tuf.RoleKeys{Keys: []*tuf.Key{b.publisher.Key()}, Threshold: 1}
	vouching := tuf.RoleKeys{Keys: []*tuf.Key{online.Key()}, Threshold: 1}
	expires := time.Now().Add(24 * time.Hour)
	files := map[string][]byte{}
	for i := range n {
		repository := watchedName(i)
		root, err := tuf.NewRoot(tuf.RootSpec{Repository: repository, Version: 1, Expires: expires,
			Root: offline, Targets: offline, Snapshot: vouching, Timestamp: vouching})
		if err != nil {
			return nil, err
		}
		targets := tuf.NewTargets(1, expires)
		if err := tuf.SetTarget(targets, repository, "v0", tags(0, 1)[0].Target); err != nil {
			return nil, err
		}
		rootFile, err := signed(b.ctx, tuf.RoleRoot, root, b.publisher)
		if err != nil {
			return nil, err
		}
		targetsFile, err := signed(b.ctx, tuf.RoleTargets, targets, b.publisher)
		if err != nil {
			return nil, err
		}
		snapshot, err := signed(b.ctx, tuf.RoleSnapshot, tuf.NewSnapshot(1, expires, []tuf.File{targetsFile}), online)
		if err != nil {
			return nil, err
		}
		timestamp, err := signed(b.ctx, tuf.RoleTimestamp, tuf.NewTimestamp(1, expires, snapshot), online)
		if err != nil {
			return nil, err
		}
		for _, file := range []tuf.File{rootFile, targetsFile, snapshot, timestamp} {
			files[api.FilePath(repository, file.Name())] = file.Bytes
		}
	}
	return files, nil
}

// signed is the first file of a role.
func signed[T metadata.Roles](ctx context.Context, role string, md *metadata.Metadata[T], key tuf.Signer) (tuf.File, error) {
	if err := tuf.Sign(ctx, md, key); err != nil {
		return tuf.File{}, err
	}
	data, err := tuf.Encode(md)
	return tuf.File{Role: role, Version: 1, Bytes: data}, err
}

// A holding is what a process that watches repositories says of itself.
type holding struct {
	Repositories, Answers int
	Dropped               int64
	Counted, Heap         int64 // bytes
}

// hold verifies one image of each of args[2] repositories by the anchor in the file
// args[0], with state in args[1], in at most args[3] MiB (0: the default), and prints
// what it holds then.
func hold(args []string) int {
	held, err := holdAll(context.Background(), args[0], args[1], args[2], args[3])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(held)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hold:", err)
		return 1
	}
	return 0
}

func holdAll(ctx context.Context, anchorFile, state, count, bound string) (holding, error) {
	data, err := os.ReadFile(anchorFile)
	if err != nil {
		return holding{}, err
	}
	var anchor client.Anchor
	if err := json.Unmarshal(data, &anchor); err != nil {
		return holding{}, err
	}
	repositories, err := strconv.Atoi(count)
	if err != nil {
		return holding{}, err
	}
	most, err := strconv.ParseInt(bound, 10, 64)
	if err != nil {
		return holding{}, err
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what finalizers let go
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		return int64(memory.HeapAlloc)
	}
	watcher := client.NewWatcher(client.New(client.Config{StateDir: state, Anchors: client.Anchors{anchor}}), client.WatchConfig{MaxBytes: most << 20})
	defer watcher.Close()
	// The first one brings connections and the like, which all share.
	if _, err := watcher.Verify(ctx, tuf.Image{Repository: watchedName(0), Tag: "v0"}, client.Options{}); err != nil {
		return holding{}, err
	}
	before := heap()
	const askers = 16
	errs := make([]error, askers)
	var asking sync.WaitGroup
	for i := range askers {
		asking.Go(func() {
			for n := i; n < repositories && errs[i] == nil; n += askers {
				_, errs[i] = watcher.Verify(ctx, tuf.Image{Repository: watchedName(n), Tag: "v0"}, client.Options{})
			}
		})
	}
	asking.Wait()
	if err := errors.Join(errs...); err != nil {
		return holding{}, err
	}
	held := heap() - before
	stats := watcher.Stats()
	return holding{Repositories: stats.Repositories, Answers: stats.Answers, Dropped: stats.Dropped, Counted: stats.Bytes, Heap: held}, nil
}
