package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// maxExpiringPages bounds what is read of a server's list of what expires.
const maxExpiringPages = 1000

// Expiring asks the server which roots, targets and signers' files expire before a
// time, in all repositories that the token covers, soonest first; those that have
// expired already are among them. It takes a token. It is the server's word, for
// people to be told in time: no trust follows from it, and a server that keeps silent
// is found out by who verifies. It returns tuf.ErrNotFound from a server of a release
// that does not tell.
func (p *Publisher) Expiring(ctx context.Context, before time.Time) ([]api.ExpiringRole, error) {
	return p.expiring(ctx, before, 0)
}

// expiring reads pages of at most limit roles.
func (p *Publisher) expiring(ctx context.Context, before time.Time, limit int) ([]api.ExpiringRole, error) {
	list := []api.ExpiringRole{}
	after := ""
	for range maxExpiringPages {
		var page api.ExpiringResponse
		if err := p.call(ctx, http.MethodGet, api.ExpiringPath(before, after, limit), nil, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Roles {
			if err := checkExpiring(e); err != nil {
				return nil, &ServerError{Server: p.Server.URL, Trouble: TroubleAnswer, Err: err, Detail: "its list of what expires has a line that is none"}
			}
			list = append(list, e)
		}
		if page.Next == "" {
			return list, nil
		}
		if page.Next == after {
			return nil, &ServerError{Server: p.Server.URL, Trouble: TroubleAnswer, Detail: "its list of what expires does not go on"}
		}
		after = page.Next
	}
	return nil, &ServerError{Server: p.Server.URL, Trouble: TroubleAnswer, Detail: "its list of what expires has no end"}
}

// checkExpiring refuses what is no name: it is shown to people, who copy it.
func checkExpiring(e api.ExpiringRole) error {
	if err := tuf.CheckRepository(e.Repository); err != nil {
		return err
	}
	if e.Role == tuf.RoleRoot || e.Role == tuf.RoleTargets {
		return nil
	}
	if err := tuf.CheckRoleName(e.Role); err != nil {
		return fmt.Errorf("%s: %w", e.Repository, err)
	}
	return nil
}
