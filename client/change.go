package client

import (
	"context"
	"fmt"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// A Change is what a publish would change, decoded from the exact bytes that
// will be signed and compared with what was verified just before.
type Change struct {
	Repository string       `json:"repository"`
	New        bool         `json:"new"`                // the repository is created
	Rebased    bool         `json:"rebased"`            // somebody else published since this was asked first: this is the new state of affairs
	Files      []FileChange `json:"files"`              // in the order in which they are signed
	Expired    []string     `json:"expired,omitempty"`  // roles that have expired, which verifiers refuse until they are renewed
	Warnings   []string     `json:"warnings,omitempty"` // what whoever agrees should know besides
}

// A ConfirmFunc is shown what is about to be signed. An error stops the publish
// before anything is signed; it is returned as it is. When somebody else
// published in between, it is asked again, with Change.Rebased set.
type ConfirmFunc func(ctx context.Context, change *Change) error

// A draft is one file that is about to be signed: of root or of targets or a signer.
type draft struct {
	role       string
	root       *tuf.Root
	targets    *tuf.Targets
	oldRoot    *tuf.Root    // nil: the first
	oldTargets *tuf.Targets // nil: the first
	signers    []tuf.Signer
	missing    []*KeysError // with Publisher.DryRun: the signatures that nobody can make yet
	warnings   []string
	payload    []byte // what was shown, and is signed
	file       []byte // what was sent
}

func (d *draft) version() int64 {
	if d.root != nil {
		return d.root.Signed.Version
	}
	return d.targets.Signed.Version
}

func (d *draft) encodePayload() ([]byte, error) {
	if d.root != nil {
		return tuf.Payload(d.root)
	}
	return tuf.Payload(d.targets)
}

// signShown signs the very bytes that were decoded and shown.
func (d *draft) signShown(ctx context.Context) ([]byte, error) {
	for _, signer := range d.signers {
		sig, err := tuf.SignPayload(ctx, d.payload, signer)
		if err != nil {
			return nil, err
		}
		if d.root != nil {
			tuf.AddSignature(d.root, signer.Key().ID(), sig)
		} else {
			tuf.AddSignature(d.targets, signer.Key().ID(), sig)
		}
	}
	return d.encode()
}

// encode returns the file with the signatures that it has.
func (d *draft) encode() ([]byte, error) {
	if d.root != nil {
		if d.root.Signatures == nil {
			d.root.Signatures = []metadata.Signature{}
		}
		return tuf.Encode(d.root)
	}
	if d.targets.Signatures == nil {
		d.targets.Signatures = []metadata.Signature{}
	}
	return tuf.Encode(d.targets)
}

// sign signs the bytes that were shown, and returns the finished file.
func (d *draft) sign(ctx context.Context, repository string, withReason func(context.Context, string) context.Context) (tuf.File, error) {
	if withReason != nil {
		ctx = withReason(ctx, fmt.Sprintf("%s version %d of %s", d.role, d.version(), repository))
	}
	data, err := d.signShown(ctx)
	if err != nil {
		return tuf.File{}, fmt.Errorf("sign %s version %d of %s: %w", d.role, d.version(), repository, err)
	}
	d.file = data
	return tuf.File{Role: d.role, Version: d.version(), Bytes: data}, nil
}
