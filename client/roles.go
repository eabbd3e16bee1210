package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A SigningRole is a role as somebody sees it who has to pick keys.
type SigningRole struct {
	Name      string
	Version   int64
	Expires   time.Time
	Threshold int
	Keys      []*tuf.Key
	Tags      map[string]bool // the tags that it lists anything of; nil for root
}

// Roles returns who may sign what in a repository, verified now: root, targets,
// then signers in the order of the search. Unlike Client.View it answers also
// when they have expired, since it is then that somebody has to sign.
func (p *Publisher) Roles(ctx context.Context, repository string) ([]SigningRole, error) {
	anchor, err := p.anchorFor(repository)
	if err != nil {
		return nil, err
	}
	cur, err := p.read(ctx, repository, anchor, nil)
	if err != nil {
		return nil, err
	}
	p.lately.Store(&lateRead{cur, p.Client.config.Now()})
	keys := tuf.RoleKeysOf(cur.root, tuf.RoleRoot)
	roles := []SigningRole{{Name: tuf.RoleRoot, Version: cur.root.Signed.Version, Expires: cur.root.Signed.Expires, Threshold: keys.Threshold, Keys: keys.Keys}}
	for _, name := range cur.names {
		r := cur.roles[name]
		role := SigningRole{Name: name, Version: r.targets.Signed.Version, Expires: r.targets.Signed.Expires,
			Threshold: r.keys.Threshold, Keys: r.keys.Keys, Tags: map[string]bool{}}
		for _, entry := range tuf.Entries(r.targets) {
			if entry.Image.Repository == repository {
				role.Tags[entry.Image.Tag] = true
			}
		}
		roles = append(roles, role)
	}
	return roles, nil
}

// A lateRead is what Roles has just read. The step that is prepared next builds on
// it rather than read the same again; should it be stale, the server says so when
// it is published, and the step is built anew.
type lateRead struct {
	cur *current
	at  time.Time
}

// readLately returns what Roles read of repository within the last seconds, once,
// or nil.
func (p *Publisher) readLately(repository string) *current {
	read := p.lately.Swap(nil)
	if read == nil || read.cur.repository != repository {
		return nil
	}
	if age := p.Client.config.Now().Sub(read.at); age < 0 || age > 30*time.Second {
		return nil
	}
	return read.cur
}

// maxRepositories is how many repositories a server may list: more cannot be read
// in reasonable time, and a server that never ends would have us read for ever.
const maxRepositories = 200_000

// Repositories lists the server's repositories that the token covers, by name. A
// list without an end, or of what are no names, is refused.
func (p *Publisher) Repositories(ctx context.Context) ([]api.RepositorySummary, error) {
	wrong := func(format string, args ...any) error {
		return &ServerError{Server: p.Server.URL, Trouble: TroubleAnswer, Detail: "its list of repositories makes no sense: " + fmt.Sprintf(format, args...)}
	}
	var all []api.RepositorySummary
	for after := ""; ; {
		var page api.RepositoriesResponse
		if err := p.call(ctx, http.MethodGet, api.PagePath(after, api.MaxPage), nil, &page); err != nil {
			return nil, err
		}
		for _, repository := range page.Repositories {
			if err := tuf.CheckRepository(repository.Repository); err != nil {
				return nil, wrong("%v", err)
			}
			// Names go up from page to page, so that the list ends.
			if repository.Repository <= after {
				return nil, wrong("%s comes after %s", repository.Repository, after)
			}
			after = repository.Repository
		}
		if all = append(all, page.Repositories...); len(all) > maxRepositories {
			return nil, wrong("more than %d names", maxRepositories)
		}
		switch {
		case page.Next == "":
			return all, nil
		case len(page.Repositories) == 0:
			return nil, wrong("a page is empty, and more are to come")
		}
	}
}
