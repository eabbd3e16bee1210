package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/signet-trust/signet/tuf"
)

// An Intent is what a proposal is to bring about, so that it can be built anew when
// the base moved: one of the requests, without keys to sign with. Nobody signs for
// what an intent says: what is shown, signed and published is what is in the bytes.
type Intent struct {
	Init         *InitRequest         `json:"init,omitempty"`
	Sign         *SignRequest         `json:"sign,omitempty"`
	Revoke       *RevokeRequest       `json:"revoke,omitempty"`
	Renew        *RenewRequest        `json:"renew,omitempty"`
	ChangeKeys   *ChangeKeysRequest   `json:"changeKeys,omitempty"`
	AddSigner    *AddSignerRequest    `json:"addSigner,omitempty"`
	RemoveSigner *RemoveSignerRequest `json:"removeSigner,omitempty"`
	UpdateSigner *UpdateSignerRequest `json:"updateSigner,omitempty"`
}

// ErrIntent says that a proposal does not say what it is to bring about, so that it
// cannot be built anew.
var ErrIntent = errors.New("the proposal comes without a usable intent; propose the change anew")

// ReadIntent reads the intent of a proposal: exactly one request, with no member
// that this version does not know, for repository.
func ReadIntent(repository string, data []byte) (*Intent, error) {
	if len(data) == 0 || bytes.Equal(data, []byte("null")) {
		return nil, ErrIntent
	}
	var i Intent
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&i); err != nil {
		return nil, fmt.Errorf("%w (%s)", ErrIntent, jsonTrouble(err))
	}
	if dec.More() {
		return nil, fmt.Errorf("%w (it is more than one document)", ErrIntent)
	}
	request := i.request()
	if request == nil {
		return nil, fmt.Errorf("%w (it has other than one request)", ErrIntent)
	}
	if name := reflect.ValueOf(request).Elem().FieldByName("Repository").String(); name != repository {
		return nil, fmt.Errorf("%w (it is for %q)", ErrIntent, tidy(name, maxName))
	}
	if slices.Contains(i.keys(), nil) {
		return nil, fmt.Errorf("%w (a key of it is null)", ErrIntent)
	}
	return &i, nil
}

// keys lists the keys that an intent names.
func (i *Intent) keys() []*tuf.Key {
	switch {
	case i.Init != nil:
		return slices.Concat(i.Init.Root.Keys, i.Init.Targets.Keys)
	case i.ChangeKeys != nil:
		return i.ChangeKeys.Add
	case i.AddSigner != nil:
		return i.AddSigner.Keys.Keys
	}
	return nil
}

// request returns the one request, or nil when there is not just one.
func (i *Intent) request() any {
	var found any
	for v, n := reflect.ValueOf(i).Elem(), 0; n < v.NumField(); n++ {
		if field := v.Field(n); !field.IsNil() {
			if found != nil {
				return nil
			}
			found = field.Interface()
		}
	}
	return found
}

// Kind names what an intent asks for, as in "sign" or "changeKeys"; "" for nothing.
func (i *Intent) Kind() string {
	v := reflect.ValueOf(i).Elem()
	for n := range v.NumField() {
		if !v.Field(n).IsNil() {
			name, _, _ := bytes.Cut([]byte(v.Type().Field(n).Tag.Get("json")), []byte(","))
			return string(name)
		}
	}
	return ""
}

// prepare prepares what an intent asks for, to be signed by signers.
func (p *Publisher) prepareIntent(ctx context.Context, i *Intent, signers []tuf.Signer) (*Prepared, error) {
	switch {
	case i.Init != nil:
		r := *i.Init
		r.Signers = signers
		return p.PrepareInit(ctx, r)
	case i.Sign != nil:
		r := *i.Sign
		r.Signers = signers
		return p.PrepareSign(ctx, r)
	case i.Revoke != nil:
		r := *i.Revoke
		r.Signers = signers
		return p.PrepareRevoke(ctx, r)
	case i.Renew != nil:
		r := *i.Renew
		r.Signers = signers
		return p.PrepareRenew(ctx, r)
	case i.ChangeKeys != nil:
		r := *i.ChangeKeys
		r.Signers = signers
		return p.PrepareChangeKeys(ctx, r)
	case i.AddSigner != nil:
		r := *i.AddSigner
		r.Signers = signers
		return p.PrepareAddSigner(ctx, r)
	case i.RemoveSigner != nil:
		r := *i.RemoveSigner
		r.Signers = signers
		return p.PrepareRemoveSigner(ctx, r)
	case i.UpdateSigner != nil:
		r := *i.UpdateSigner
		r.Signers = signers
		return p.PrepareUpdateSigner(ctx, r)
	}
	return nil, ErrIntent
}

// meant notes what a prepared change is to bring about.
func (d *Prepared) meant(i Intent) *Prepared {
	if d != nil {
		d.intent = i
	}
	return d
}

// settled returns the intent with what the keys at hand decided said in words: the
// role that signs, the roles that are renewed.
func (d *Prepared) settled() Intent {
	i := d.intent
	switch {
	case i.Sign != nil && len(d.drafts) == 1:
		r := *i.Sign
		r.Role, i.Sign = d.drafts[0].role, &r
	case i.Renew != nil:
		r := *i.Renew
		r.Roles = nil
		for _, draft := range d.drafts {
			r.Roles = append(r.Roles, draft.role)
		}
		i.Renew = &r
	}
	return i
}
