package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// Bounds on a notice.
const (
	maxNotice      = 256 << 10 // bytes of a notice file
	maxNoticeKeys  = 64        // keys and signatures in one
	noticeReason   = 1000      // bytes of a reason
	noticePrefix   = "signet-notice-v1\n"
	noticeFileType = "signet-notice"
)

// ErrNotice says that a notice is none, or that it is about something else.
var ErrNotice = errors.New("the notice does not hold")

// A Notice says that a repository whose root keys cannot sign a next root any more goes
// on under others. It is for people to decide by: no client follows it by itself.
type Notice struct {
	Type      string     `json:"_type"`   // "signet-notice"
	Pattern   string     `json:"pattern"` // the names that it is about
	Old       []string   `json:"old"`     // IDs of the root keys that were
	New       []*tuf.Key `json:"new"`     // the root keys that come
	Threshold int        `json:"threshold"`
	Reason    string     `json:"reason"`
	Time      time.Time  `json:"time"`
}

// A SignedNotice is the file form of a notice: its very bytes, and signatures by keys
// that are left.
type SignedNotice struct {
	Notice     []byte            `json:"notice"` // JSON, in base64
	Signatures []NoticeSignature `json:"signatures"`
}

// A NoticeSignature is one key's signature over "signet-notice-v1", a line end and the
// notice's bytes. No TUF metadata begins so: what is signed is an object's canonical
// form.
type NoticeSignature struct {
	Key       *tuf.Key `json:"key"`
	Signature []byte   `json:"signature"`
}

// Check refuses a notice that says nothing, or too much.
func (n *Notice) Check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrNotice, fmt.Sprintf(format, args...))
	}
	if n.Type != noticeFileType {
		return wrong("its type is %q, expected %q", tidy(n.Type, maxName), noticeFileType)
	}
	if err := tuf.CheckPattern(n.Pattern); err != nil {
		return wrong("%v", err)
	}
	switch {
	case len(n.New) == 0 || len(n.New) > maxNoticeKeys || len(n.Old) > maxNoticeKeys:
		return wrong("it names %d old and %d new root keys", len(n.Old), len(n.New))
	case n.Threshold < 1 || n.Threshold > len(n.New):
		return wrong("a threshold of %d with %d keys", n.Threshold, len(n.New))
	case len(n.Reason) > noticeReason:
		return wrong("its reason has %d bytes, of which at most %d are read", len(n.Reason), noticeReason)
	case n.Time.IsZero():
		return wrong("it has no time")
	}
	for _, id := range n.Old {
		if !isSHA256(id) {
			return wrong("%q is not a key ID", tidy(id, maxName))
		}
	}
	for i, key := range n.New {
		if key == nil || slices.ContainsFunc(n.New[:i], key.Equal) {
			return wrong("a new root key is missing, or stands twice")
		}
	}
	return nil
}

// SignNotice makes the file of a notice, signed by what keys are left.
func SignNotice(ctx context.Context, n Notice, signers []tuf.Signer) ([]byte, error) {
	n.Type, n.Time = noticeFileType, n.Time.UTC().Truncate(time.Second)
	if err := n.Check(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	file := SignedNotice{Notice: data, Signatures: []NoticeSignature{}}
	for _, signer := range signers {
		sig, err := tuf.SignPayload(ctx, append([]byte(noticePrefix), data...), signer)
		if err != nil {
			return nil, err
		}
		file.Signatures = append(file.Signatures, NoticeSignature{Key: signer.Key(), Signature: sig})
	}
	return json.MarshalIndent(file, "", "  ")
}

// ReadNotice reads a notice and returns the keys of which a signature on it verifies:
// who they are is for the caller to know. A signature that does not verify, and
// anything that is not understood, is refused.
func ReadNotice(file []byte) (n *Notice, signers []*tuf.Key, err error) {
	wrong := func(format string, args ...any) (*Notice, []*tuf.Key, error) {
		return nil, nil, fmt.Errorf("%w: %s", ErrNotice, fmt.Sprintf(format, args...))
	}
	if len(file) > maxNotice {
		return wrong("%d bytes, of which at most %d are read", len(file), maxNotice)
	}
	var signed SignedNotice
	if err := strictJSON(file, &signed); err != nil {
		return wrong("%s", jsonTrouble(err))
	}
	n = &Notice{}
	if err := strictJSON(signed.Notice, n); err != nil {
		return wrong("%s", jsonTrouble(err))
	}
	if err := n.Check(); err != nil {
		return nil, nil, err
	}
	if len(signed.Signatures) > maxNoticeKeys {
		return wrong("%d signatures", len(signed.Signatures))
	}
	payload := append([]byte(noticePrefix), signed.Notice...)
	for i, s := range signed.Signatures {
		if s.Key == nil || s.Key.Verify(payload, s.Signature) != nil {
			return wrong("signature %d is not valid", i+1)
		}
		if !slices.ContainsFunc(signers, s.Key.Equal) { // one key counts once
			signers = append(signers, s.Key)
		}
	}
	return n, signers, nil
}

// strictJSON reads one document without members that v does not have.
func strictJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if strings.TrimSpace(string(data[dec.InputOffset():])) != "" {
		return errors.New("data after the end of the document")
	}
	return nil
}

// A Replacement is what trusting other root keys gives up and keeps.
type Replacement struct {
	Repository string `json:"repository"`
	// Root and Targets are the versions that were verified here. Root goes on above it
	// where the server retired the name, and lower versions stay refused.
	Root    int64 `json:"root"`
	Targets int64 `json:"targets"`
	// RootKeys and TargetsKeys are those that the newest root lists that was verified
	// here: pinned keys that it lists no more were taken away, perhaps since they were
	// stolen.
	RootKeys    []*tuf.Key `json:"-"`
	TargetsKeys []*tuf.Key `json:"-"`
}

// Known tells what is remembered of a repository, before its root keys are replaced.
// It is nil where nothing is.
func (c *Client) Known(repository string) (*Replacement, error) {
	path, err := stateDir(c.config.StateDir, repository)
	if err != nil {
		return nil, err
	}
	d, err := OpenDir(path)
	if err != nil {
		return nil, err
	}
	t, err := d.newestRoot(&Updater{Repository: repository, Now: c.config.Now, Limits: c.config.Limits})
	if err != nil || t == nil {
		return nil, err
	}
	r := &Replacement{Repository: repository, Root: t.Root().Signed.Version,
		RootKeys: tuf.RoleKeysOf(t.Root(), tuf.RoleRoot).Keys, TargetsKeys: tuf.RoleKeysOf(t.Root(), tuf.RoleTargets).Keys}
	data, err := d.Load(tuf.RoleTargets)
	if err != nil {
		return nil, err
	}
	if targets, err := tuf.ReadTargets(data); err == nil {
		r.Targets = targets.Signed.Version
	}
	return r, nil
}

// Lowest returns the lowest versions of root and targets that are accepted from now on.
func (r *Replacement) Lowest() (root, targets int64) { return above(r.Root), above(r.Targets) }

// above is the version after another. Nothing is above the largest one.
func above(version int64) int64 {
	if version == math.MaxInt64 {
		return version
	}
	return version + 1
}
