package client

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A Publisher publishes to one server. Every step reads the verified state
// anew, builds the next files, shows them, signs, sends, and then verifies as
// anybody would that the server serves what was published.
type Publisher struct {
	// Client verifies what is there before and after. Its anchors say which root
	// keys are believed; the files are fetched from Server.
	Client *Client
	// Server is where to publish.
	Server Server
	// Confirm is shown each change before it is signed; nil agrees to all. The
	// Prepare methods do not ask it: whoever calls them shows Prepared.Change.
	Confirm ConfirmFunc
	// DryRun lets changes be prepared that not enough keys were given for, to show
	// them. Prepared.Missing then says which are lacking.
	DryRun bool
	// Partial lets changes be prepared that not enough keys were given for, since
	// they become proposals, see [Prepared.Propose]. Prepared.Missing says which
	// signatures are lacking.
	Partial bool
	// Offline builds on, and compares with, what this machine remembers, without
	// asking a server. It may have expired: Review.Compared says how old it is.
	Offline bool
	// From does so with a folder that Client.Export wrote, which is believed as little
	// as a server, and remembered as after an answer of one.
	From string
	// SignAgain signs another content for a version that the journal says was signed
	// here already, where otherwise a *SignedError is returned. Whoever kept the
	// earlier signature may complete it.
	SignAgain bool
	// Anchor is used in place of the client's anchor for the repository.
	Anchor *Anchor
	// WithReason puts a text into the context of each signature, such as "targets
	// version 7 of registry.example.com/team/app", for a key that is about to ask
	// for a touch. It may be nil.
	WithReason func(ctx context.Context, reason string) context.Context
	// Life is how long a role's new file lives, by role; "signer" stands for all
	// delegated roles. Roles that it lacks: DefaultLife.
	Life map[string]time.Duration

	lately  atomic.Pointer[lateRead] // what Roles has just read
	vouched map[string]*tuf.Key      // online keys that were checked already, in place of the server's
}

// DefaultLife is how long a new file of role lives: a year for root, 180 days
// for targets and signers.
func DefaultLife(role string) time.Duration {
	const day = 24 * time.Hour
	if role == tuf.RoleRoot {
		return 365 * day
	}
	return 180 * day
}

// Published is the outcome of a publish that the server acknowledged and that
// was then read back and verified.
type Published struct {
	Repository string           `json:"repository"`
	Generation int64            `json:"generation"` // the server's count of changes
	Versions   map[string]int64 `json:"versions"`   // of every role, as read back
	Change     *Change          `json:"change"`     // what was signed; nil when there was nothing to do
	// Anchor pins what Init created: this name, its root keys, this server.
	Anchor *Anchor `json:"anchor,omitempty"`
}

// Init creates a repository: online keys from the server's signer, checked
// against its pinned identity, a root and an empty targets file. It returns an
// error that wraps ErrExists, before anything is signed, when the repository is
// there already and is another than what was asked for.
func (p *Publisher) Init(ctx context.Context, request InitRequest) (*Published, error) {
	d, err := p.PrepareInit(ctx, request)
	return p.run(ctx, d, err)
}

// PrepareInit prepares what Init does.
func (p *Publisher) PrepareInit(ctx context.Context, request InitRequest) (*Prepared, error) {
	d, err := p.prepareInit(ctx, request)
	return d.meant(Intent{Init: &request}), err
}

// Sign makes tags mean digests, in place of what they meant before. The earlier
// digests stay trusted under the tag until they are revoked.
func (p *Publisher) Sign(ctx context.Context, request SignRequest) (*Published, error) {
	d, err := p.PrepareSign(ctx, request)
	return p.run(ctx, d, err)
}

// PrepareSign prepares what Sign does.
func (p *Publisher) PrepareSign(ctx context.Context, request SignRequest) (*Prepared, error) {
	d, err := p.prepareSign(ctx, request)
	return d.meant(Intent{Sign: &request}), err
}

// Revoke withdraws a tag, or one digest under it. It returns a *tuf.Refusal with
// tuf.RuleAbsent when nothing of the kind is signed.
func (p *Publisher) Revoke(ctx context.Context, request RevokeRequest) (*Published, error) {
	d, err := p.PrepareRevoke(ctx, request)
	return p.run(ctx, d, err)
}

// PrepareRevoke prepares what Revoke does.
func (p *Publisher) PrepareRevoke(ctx context.Context, request RevokeRequest) (*Prepared, error) {
	d, err := p.prepareRevoke(ctx, request)
	return d.meant(Intent{Revoke: &request}), err
}

// Renew gives roles a later expiry. Roles that have expired already can be
// renewed, too. Published.Change is nil when nothing was due.
func (p *Publisher) Renew(ctx context.Context, request RenewRequest) (*Published, error) {
	d, err := p.PrepareRenew(ctx, request)
	return p.run(ctx, d, err)
}

// PrepareRenew prepares what Renew does.
func (p *Publisher) PrepareRenew(ctx context.Context, request RenewRequest) (*Prepared, error) {
	d, err := p.prepareRenew(ctx, request)
	return d.meant(Intent{Renew: &request}), err
}

// ChangeKeys gives a role other keys or another threshold: root and targets by a
// new root, a signer by a new file of whoever delegates to it. A new root is
// signed by the old keys and by the new ones (§5.3.4), so that those who trust
// the old ones follow. When too few of those who signed the role's file still
// count, the file is signed anew in the same publish, so that no verifier sees
// one without the other. It returns a *KeysError when it lacks signatures.
func (p *Publisher) ChangeKeys(ctx context.Context, request ChangeKeysRequest) (*Published, error) {
	d, err := p.PrepareChangeKeys(ctx, request)
	return p.run(ctx, d, err)
}

// PrepareChangeKeys prepares what ChangeKeys does.
func (p *Publisher) PrepareChangeKeys(ctx context.Context, request ChangeKeysRequest) (*Prepared, error) {
	d, err := p.prepareChangeKeys(ctx, request)
	return d.meant(Intent{ChangeKeys: &request}), err
}

// AddSigner lets somebody else sign some of the tags. The signer comes after
// those that are there, unless Before says ahead of which. A name that was used before goes on from its last version.
func (p *Publisher) AddSigner(ctx context.Context, request AddSignerRequest) (*Published, error) {
	d, err := p.PrepareAddSigner(ctx, request)
	return p.run(ctx, d, err)
}

// PrepareAddSigner prepares what AddSigner does.
func (p *Publisher) PrepareAddSigner(ctx context.Context, request AddSignerRequest) (*Prepared, error) {
	d, err := p.prepareAddSigner(ctx, request)
	return d.meant(Intent{AddSigner: &request}), err
}

// RemoveSigner takes a signer's right to sign away. What it signed is trusted no
// more, unless another role lists it too.
func (p *Publisher) RemoveSigner(ctx context.Context, request RemoveSignerRequest) (*Published, error) {
	d, err := p.PrepareRemoveSigner(ctx, request)
	return p.run(ctx, d, err)
}

// PrepareRemoveSigner prepares what RemoveSigner does.
func (p *Publisher) PrepareRemoveSigner(ctx context.Context, request RemoveSignerRequest) (*Prepared, error) {
	d, err := p.prepareRemoveSigner(ctx, request)
	return d.meant(Intent{RemoveSigner: &request}), err
}

// Info asks the server what it is, for a login to show and pin.
func (p *Publisher) Info(ctx context.Context) (*api.ServerInfo, error) {
	return p.info(ctx, api.ServerPath)
}

// InfoFor asks the server what it is, and what it asks of those who publish to
// repository: its rules for that name.
func (p *Publisher) InfoFor(ctx context.Context, repository string) (*api.ServerInfo, error) {
	return p.info(ctx, api.ServerPathOf(repository))
}

// Token asks the server what the token may do.
func (p *Publisher) Token(ctx context.Context) (*api.TokenInfo, error) {
	return p.token(ctx)
}
