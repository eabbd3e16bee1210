package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// maxFloorStep bounds how far a server can have versions jump: a server that lies must
// not use up the versions of people's keys.
const maxFloorStep = 1_000_000

// serverFloors asks the server above which versions the next files have to be, since
// clients may have seen files that it does not have any more: after it was restored
// from an old backup, or where the name was retired. It is the server's word; whoever
// signs is shown the version. A server of an earlier release has none.
func (p *Publisher) serverFloors(ctx context.Context, repository string) (floors map[string]int64, retired bool, err error) {
	var about api.RepositoryResponse
	err = p.call(ctx, http.MethodGet, api.RepositoryPath(repository), nil, &about)
	if errors.Is(err, tuf.ErrNotFound) {
		return nil, false, nil
	}
	return about.Floors, about.Retired != nil, err
}

// raise has the next files of c be above floors. Roots follow one another without a
// gap, so they have none in a repository that is there.
func (c *current) raise(floors map[string]int64) error {
	for role, floor := range floors {
		if tuf.IsTopLevel(role) && role != tuf.RoleTargets {
			continue
		}
		if step := floor - c.listed[role]; step > maxFloorStep {
			return fmt.Errorf("%s: the server wants %s to go on above version %d, and version %d is there: that is more than %d at once, and is not believed",
				c.repository, tidy(role, maxName), floor, c.listed[role], maxFloorStep)
		}
		if floor > c.versions[role] && c.versions[role] > 0 {
			c.warnings = append(c.warnings, fmt.Sprintf("the server says that clients have seen %s version %d, and has version %d: it was restored from an old backup; what was signed or revoked in between is gone",
				role, floor, c.versions[role]))
		}
		c.listed[role] = max(c.listed[role], floor)
	}
	return nil
}

// checkRestart refuses to start a name again on a machine that would refuse the result:
// it remembers the repository as it was.
func (p *Publisher) checkRestart(repository string, floors map[string]int64) error {
	for role, floor := range floors {
		if floor < 0 || floor > maxFloorStep && tuf.IsTopLevel(role) && role != tuf.RoleSnapshot && role != tuf.RoleTimestamp {
			return fmt.Errorf("%s: the server wants %s to start above version %d, which is not believed", repository, tidy(role, maxName), floor)
		}
	}
	path, err := stateDir(p.Client.config.StateDir, repository)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(path, "root.json")); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", repository, ErrRetired)
	}
	return nil
}

// ErrRetired says that a repository's name was retired, and that this machine still
// remembers it as it was before.
var ErrRetired = errors.New("it was retired, and this machine remembers it as it was before")
