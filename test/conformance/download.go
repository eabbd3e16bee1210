package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// download fetches one target to its place, unless what it should be is there.
func download(ctx context.Context, update *client.Update, o *options, path string) error {
	match, err := update.Search(ctx, path)
	if err != nil {
		return err
	}
	// The suite's targets may have any hashes; a Match tells only sha256.
	target := update.Trusted().Role(match.Role).Signed.Targets[path]
	to := filepath.Join(o.targetDir, fileName(path))
	if data, err := os.ReadFile(to); err == nil && target.VerifyLengthHashes(data) == nil {
		return nil
	}
	address := base(o.targetURL) + escapePath(path)
	if update.Trusted().Root().Signed.ConsistentSnapshot { // §6.2
		dir, name := splitPath(path)
		address = base(o.targetURL) + escapePath(dir) + hashOf(target) + "." + escape(name)
	}
	data, err := get(ctx, address, target.Length)
	if err != nil {
		return err
	}
	if err := target.VerifyLengthHashes(data); err != nil { // §5.7.2
		return fmt.Errorf("target %q: %w", path, err)
	}
	return replace(to, data)
}

// hashOf returns the hash that a target's name begins with under consistent
// snapshots: sha256 where there is one.
func hashOf(target *metadata.TargetFiles) string {
	if sum, ok := target.Hashes["sha256"]; ok {
		return hex.EncodeToString(sum)
	}
	first := slices.Sorted(maps.Keys(target.Hashes))[0]
	return hex.EncodeToString(target.Hashes[first])
}

func splitPath(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/') + 1
	return path[:i], path[i:]
}

// fileName returns the name under which a target is kept: one file in one folder,
// whatever the path says.
func fileName(path string) string {
	if name := "t-" + escape(path); len(name) <= 200 {
		return name
	}
	return fmt.Sprintf("s-%x", sha256.Sum256([]byte(path)))
}

// escape writes a name as one component of an address or of a path.
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(name), "+", "%20"), "*", "%2A")
}

// escapePath escapes a path's components and leaves the slashes.
func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parts[i] = escape(part)
	}
	return strings.Join(parts, "/")
}

func base(address string) string { return strings.TrimRight(address, "/") + "/" }

// fetcher fetches metadata files below an address.
func fetcher(address string) client.FetchFunc {
	return func(ctx context.Context, name string, max int64, _ string) (client.Fetched, error) {
		data, err := get(ctx, base(address)+name, max)
		return client.Fetched{Bytes: data}, err
	}
}

// get fetches at most max bytes. What is longer is refused.
func get(ctx context.Context, address string, max int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusForbidden: // what object stores say of a missing file
		return nil, fmt.Errorf("%s: %s: %w", address, response.Status, tuf.ErrNotFound)
	default:
		return nil, fmt.Errorf("%s: %s", address, response.Status)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, &tuf.Refusal{Rule: tuf.RuleLimit, Clause: "TUF §5.7.1", Detail: fmt.Sprintf("%s is longer than the %d bytes allowed", address, max)}
	}
	return data, nil
}
