// Package drill rehearses bad days of a repository on a copy of it: a root key is
// lost, the keys of a role are stolen, the online keys are stolen.
//
// The copy has the repository's roles, thresholds and delegations, and keys of its
// own in place of each real one. So nothing that is signed here is of use to
// anybody, no YubiKey is asked, and the repository is not touched. What a thief
// forges, what the owner does about it and what verifiers then see is all done by
// the code that does it on the day: client, tuf and the server's rules.
//
//	drill.go   what is asked, and what comes of it
//	scene.go   the scenes
//	copy.go    the copy
//	world.go   the server that it is on, honest and hostile
package drill

import (
	"context"
	"os"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// Scenes by kind.
const (
	RootKeyLost      = "root-key-lost"
	KeysStolen       = "keys-stolen"
	OnlineKeysStolen = "online-keys-stolen"
)

// Reasons why the keys are not enough.
const (
	// LackSpare: even with all other keys of the repository at hand nobody could
	// mend it, since the role that has to sign has no key to spare.
	LackSpare = "spare"
	// LackElsewhere: there are enough keys, but not here.
	LackElsewhere = "elsewhere"
)

// A Request asks for a drill.
type Request struct {
	// View is the repository, as Client.View verified it.
	View *client.View
	// Hand holds the IDs of the keys that could sign here and now.
	Hand []string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// A Report is what came of a drill. Its JSON is stable.
type Report struct {
	Repository string  `json:"repository"`
	Enough     bool    `json:"enough"` // in all scenes
	Scenes     []Scene `json:"scenes"`
	// NotRehearsed names roles that the copy leaves out: hash bins and what is
	// below them, whose keys change together with those of whom they belong to.
	NotRehearsed []string `json:"notRehearsed,omitempty"`
}

// A Scene is one bad day.
type Scene struct {
	Kind   string   `json:"kind"`
	Role   string   `json:"role,omitempty"` // whose keys are lost or stolen
	Keys   []string `json:"keys,omitempty"` // their IDs
	Steps  []Step   `json:"steps"`
	Enough bool     `json:"enough"`              // today's keys got the repository through
	Lack   string   `json:"lack,omitempty"`      // LackSpare or LackElsewhere
	Needed []string `json:"needed,omitempty"`    // the IDs of keys of which some would have to be here
	Detail string   `json:"detail,omitempty"`    // in words, what the step that failed says
	Forged bool     `json:"forged"`              // the stolen keys were enough to make verifiers believe something
	Signer string   `json:"delegator,omitempty"` // who has to sign to take the keys away: "root", "targets" or a signer
}

// A Step is what somebody did in a scene and what came of it.
type Step struct {
	Who  string `json:"who"` // "thief", "owner", "verifier" (who remembers) or "newcomer" (a verifier who does not)
	What string `json:"what"`
	Saw  string `json:"saw"`
}

// Run rehearses every scene that the repository has: the loss of each root key, the
// theft of the keys of targets and of each signer, and that of the online keys. An
// error says that the drill itself failed, not that the keys are too few.
func Run(ctx context.Context, request Request) (report *Report, err error) {
	if request.Now == nil {
		request.Now = time.Now
	}
	dir, err := os.MkdirTemp("", "signet-drill-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if gone := os.RemoveAll(dir); err == nil && gone != nil {
			report, err = nil, gone
		}
	}()
	r, err := newRehearsal(ctx, request, dir)
	if err != nil {
		return nil, err
	}
	report = &Report{Repository: request.View.Repository, Enough: true, NotRehearsed: r.left}
	add := func(s *scene) {
		report.Scenes = append(report.Scenes, s.Scene)
		report.Enough = report.Enough && s.Enough
	}
	for _, key := range request.View.Role(tuf.RoleRoot).Keys {
		s, err := r.rootKeyLost(ctx, key.ID)
		if err != nil {
			return nil, err
		}
		add(s)
	}
	for i := range request.View.Roles {
		role := &request.View.Roles[i]
		if _, copied := r.world.state.Roles[role.Name]; !copied {
			continue
		}
		s, err := r.keysStolen(ctx, role)
		if err != nil {
			return nil, err
		}
		add(s)
	}
	s, err := r.onlineKeysStolen(ctx)
	if err != nil {
		return nil, err
	}
	add(s)
	return report, ctx.Err()
}
