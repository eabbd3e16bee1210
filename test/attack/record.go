package attack

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/signet-trust/signet/tuf"
)

// A Recording is all files of one repository as they were once, by name. Whoever
// could read them then has them.
type Recording struct {
	Repository string
	Files      map[string][]byte
}

// Record keeps what the honest server serves now for a repository: every root,
// the timestamp, and what it leads to.
func (p *Proxy) Record(ctx context.Context, repository string) (*Recording, error) {
	r := &Recording{Repository: repository, Files: map[string][]byte{}}
	take := func(file string) ([]byte, error) {
		data, err := p.get(ctx, repository, file)
		if data != nil {
			r.Files[file] = data
		}
		return data, err
	}
	for version := 1; ; version++ {
		data, err := take(strconv.Itoa(version) + ".root.json")
		if err != nil {
			return nil, err
		}
		if data == nil {
			break
		}
	}
	data, err := take("timestamp.json")
	if err != nil || data == nil {
		return nil, fmt.Errorf("%s has no timestamp: %w", repository, err)
	}
	timestamp, err := tuf.ReadTimestamp(data)
	if err != nil {
		return nil, err
	}
	if data, err = take(tuf.FileName(tuf.RoleSnapshot, timestamp.Signed.Meta["snapshot.json"].Version)); err != nil {
		return nil, err
	}
	snapshot, err := tuf.ReadSnapshot(data)
	if err != nil {
		return nil, err
	}
	for name, meta := range snapshot.Signed.Meta {
		if _, err := take(strconv.FormatInt(meta.Version, 10) + "." + name); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Replay answers with a recording alone: a server that was restored from a
// backup, a mirror that stopped, or an attacker who keeps what is new away.
func Replay(r *Recording) Attack {
	return func(a *Answer) {
		if a.Repository != r.Repository {
			return
		}
		data, ok := r.Files[a.File]
		if !ok {
			notFound(a)
			return
		}
		serve(a, data)
	}
}

// ReplayRole answers with a recording for one role only, so that old files meet
// new ones: mix and match. What is asked for by version is answered with the
// version that was recorded.
func ReplayRole(r *Recording, role string) Attack {
	return func(a *Answer) {
		if a.Repository != r.Repository || a.Role() != role {
			return
		}
		for name, data := range r.Files {
			old := Answer{File: name}
			if old.Role() == role {
				serve(a, data)
			}
		}
	}
}

// Impersonate answers for repository with the recording of another one: wrong
// software, for whoever trusts the same root keys for both.
func Impersonate(repository string, other *Recording) Attack {
	return func(a *Answer) {
		if a.Repository != repository {
			return
		}
		if data, ok := other.Files[a.File]; ok {
			serve(a, data)
		} else {
			notFound(a)
		}
	}
}

func serve(a *Answer, data []byte) {
	a.Status, a.Body, a.Write = http.StatusOK, data, nil
	a.Header = http.Header{"Content-Type": {"application/json"}}
}

func notFound(a *Answer) {
	a.Status, a.Body, a.Write = http.StatusNotFound, []byte("not found\n"), nil
	a.Header = http.Header{"Content-Type": {"text/plain"}}
}
