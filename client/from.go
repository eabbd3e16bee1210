package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A folder answers as a server does, out of files that Export wrote:
// DIR/REPOSITORY/timestamp.json and so on. It is believed as little as a server.
type folder struct {
	root *os.Root // no name leads out of it, by a link or otherwise
	path string   // where it is, which may well have a part "tuf" of its own
}

// folderRemote returns the remote that reads a folder.
func (c *Client) folderRemote(dir string) (r *remote, end func() error, err error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, nil, &ServerError{Server: dir, Trouble: TroubleAddress, Detail: "no folder of metadata can be read there", Err: err}
	}
	path = strings.TrimRight(filepath.ToSlash(path), "/")
	base := (&url.URL{Scheme: "file", Path: path}).String()
	return &remote{base: base, transport: folder{root, path}, timeouts: c.config.Timeouts, userAgent: c.config.UserAgent}, root.Close, nil
}

// RoundTrip opens the file that a path under /tuf/ names.
func (f folder) RoundTrip(r *http.Request) (*http.Response, error) {
	path, ok := strings.CutPrefix(r.URL.Path, f.path+"/tuf/")
	if !ok {
		return folderAnswer(r, http.StatusNotFound, 0, http.NoBody), nil
	}
	file, err := f.root.OpenFile(filepath.FromSlash(path), os.O_RDONLY|nonblocking, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return folderAnswer(r, http.StatusNotFound, 0, http.NoBody), nil
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return folderAnswer(r, http.StatusOK, info.Size(), file), nil
}

func folderAnswer(r *http.Request, status int, size int64, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: size,
		Header: http.Header{"Content-Type": {api.TypeJSON}}, Body: body, Request: r}
}

// fromFolder answers out of a folder, and remembers as after an answer of a server.
func (s *session) fromFolder(ctx context.Context, dir string) error {
	r, end, err := s.client.folderRemote(dir)
	if err != nil {
		return err
	}
	s.folder = true
	err = s.stale(func() error { return s.attempts(ctx, r) })
	return errors.Join(err, end())
}

// A Duration is a length of time, in JSON as Go writes it: "720h0m0s".
type Duration time.Duration

// MarshalText writes a length of time.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a length of time.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// stale runs ask, and once more by an earlier clock when only timestamp or snapshot
// has expired, by no more than the anchor's MaxStale: what reaches a machine without
// a network by hand is old by then. root, targets and signers have to be in date by
// the real clock (inDate).
func (s *session) stale(ask func() error) error {
	for range 3 { // as they are, without the timestamp's expiry, without the snapshot's
		err := ask()
		expired, ok := errors.AsType[*tuf.ExpiredError](err)
		if !ok || expired.Role != tuf.RoleTimestamp && expired.Role != tuf.RoleSnapshot {
			return err
		}
		most := time.Duration(s.anchor.MaxStale)
		late := s.client.config.Now().Sub(expired.Expired)
		if most == 0 {
			return err
		}
		if late > most {
			return fmt.Errorf("%w; the trust anchor takes what expired up to %s ago", err, most)
		}
		if at := expired.Expired.Add(-time.Second); s.at.IsZero() || at.Before(s.at) {
			s.at, s.late = at, true
			continue
		}
		return err
	}
	return errors.New("the expiry of timestamp and snapshot cannot be told")
}

// inDate refuses root, and what was loaded of targets and signers, where it has
// expired by the real clock, although timestamp or snapshot may have.
func (s *session) inDate(x *Update) error {
	now := s.client.config.Now()
	check := func(role string, version int64, expires time.Time) error {
		if expires.After(now) {
			return nil
		}
		return &tuf.ExpiredError{Repository: s.repository, Role: role, Version: version, Expired: expires, Now: now}
	}
	root := x.trusted.Root().Signed
	if err := check(tuf.RoleRoot, root.Version, root.Expires); err != nil {
		return err
	}
	for _, role := range x.roles {
		signed := x.trusted.Role(role).Signed
		if err := check(role, signed.Version, signed.Expires); err != nil {
			return err
		}
	}
	return nil
}

// staleFor tells how long ago what an answer stands on expired; 0 when it has not.
func staleFor(t *tuf.Trusted, now time.Time) time.Duration {
	var late time.Duration
	if ts := t.Timestamp(); ts != nil {
		late = max(late, now.Sub(ts.Signed.Expires))
	}
	if s := t.Snapshot(); s != nil {
		late = max(late, now.Sub(s.Signed.Expires))
	}
	return late
}
