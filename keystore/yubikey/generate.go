package yubikey

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/tuf"
)

// A Request says what key to make. The zero Request is a good one.
type Request struct {
	Role      string // what the key is for; it chooses the slot and is named in the certificate
	Slot      Slot   // 0: the first free one, for root 9c, then 82 to 95 (from firmware 5.3)
	Algorithm string // keystore.P256 when empty
	PIN       string // Always when empty
	Touch     string // Always when empty
	// ManagementKey is what the stick was set up with. When nil, the factory's
	// is tried, then the one that the stick keeps under its PIN.
	ManagementKey []byte
	Overwrite     bool // the slot's key and certificate, for ever
}

// Made is a key that was just made or imported, with its attestation: see
// Stick.Attestation. Nobody asked Yubico yet.
type Made struct {
	SlotInfo
	Attestation [][]byte
}

// Generate makes a key on the stick, where its private half stays, and puts a
// certificate beside it that names it to other programs.
func (st *Stick) Generate(ctx context.Context, r Request) (Made, error) {
	r.Algorithm = cmp.Or(r.Algorithm, keystore.P256)
	r.PIN, r.Touch = cmp.Or(r.PIN, Always), cmp.Or(r.Touch, Always)
	if err := r.check(st.info.Firmware); err != nil {
		return Made{}, fmt.Errorf("%s: %w", st, err)
	}
	return withTurn(ctx, st, func(t *talk) (Made, error) { return t.generate(ctx, r) })
}

// check refuses what the card would refuse later, or make less of silently.
func (r Request) check(firmware Version) error {
	needs := func(what string, major, minor int) error {
		if firmware.AtLeast(major, minor) {
			return nil
		}
		return fmt.Errorf("%w: %s needs %d.%d, this stick has %s", ErrFirmware, what, major, minor, firmware)
	}
	var err error
	switch r.Algorithm {
	case keystore.P256:
	case keystore.P384:
		err = needs("P-384", 4, 0)
	case keystore.Ed25519:
		err = needs("Ed25519", 5, 7)
	default:
		err = fmt.Errorf("algorithm %q: expected %s, %s or %s", r.Algorithm, keystore.P256, keystore.P384, keystore.Ed25519)
	}
	switch {
	case err != nil:
		return err
	case r.Slot != 0 && !r.Slot.Signs():
		return fmt.Errorf("slot %s belongs to other programs: expected 9c, or 82 to 95", r.Slot)
	case r.PIN != Always && r.PIN != Once && r.PIN != Never:
		return fmt.Errorf("PIN policy %q: expected %s, %s or %s", r.PIN, Always, Once, Never)
	case r.Touch == Cached:
		return needs("a touch that is remembered", 4, 3)
	case r.Touch != Always && r.Touch != Never:
		return fmt.Errorf("touch policy %q: expected %s, %s or %s", r.Touch, Always, Cached, Never)
	}
	return nil
}

func (t *talk) generate(ctx context.Context, r Request) (Made, error) {
	slot, err := t.freeSlot(ctx, r)
	if err != nil {
		return Made{}, err
	}
	var key *tuf.Key
	managementKey, err := t.manage(ctx, r.ManagementKey, func(c card, managementKey []byte) error {
		public, err := c.Generate(managementKey, slot, r)
		if err != nil {
			return err
		}
		key, err = tuf.NewKey(public)
		return err
	})
	defer clear(managementKey)
	if err != nil {
		return Made{}, err
	}
	made := Made{}
	// From here on the key is there, whatever happens.
	err = t.describe(ctx, &made, slot, key, managementKey, r, Generated)
	if err == nil {
		err = t.vouch(ctx, &made)
	}
	if err != nil {
		return Made{}, fmt.Errorf("key %s was made in slot %s, but not finished: %w", key.ID(), slot, err)
	}
	t.asker().Notice(fmt.Sprintf("made key %s (%s) in slot %s of %s: PIN %s, touch %s", key.ID(), key.Algorithm(), slot, t, r.PIN, r.Touch))
	return made, nil
}

// freeSlot returns the slot to use. One with a certificate only is not free:
// somebody put it there.
func (t *talk) freeSlot(ctx context.Context, r Request) (Slot, error) {
	if r.Slot != 0 {
		holds, err := t.holds(ctx, r.Slot)
		if err == nil && holds != "" && !r.Overwrite {
			err = fmt.Errorf("slot %s: %w by %s", r.Slot, ErrSlotTaken, holds)
		}
		return r.Slot, err
	}
	if !t.info.Firmware.hasMetadata() {
		return 0, fmt.Errorf("%w: firmware %s does not tell an empty slot from one with an imported key and no certificate, which would be destroyed", ErrChooseSlot, t.info.Firmware)
	}
	for _, slot := range slotsFor(r.Role) {
		if holds, err := t.holds(ctx, slot); err != nil || holds == "" {
			return slot, err
		}
	}
	return 0, fmt.Errorf("every slot is %w", ErrSlotTaken)
}

// holds says what is in a slot, "" for nothing.
func (t *talk) holds(ctx context.Context, slot Slot) (string, error) {
	info, err := t.slot(ctx, slot)
	switch {
	case err == nil && info.Key != nil:
		return fmt.Sprintf("key %s (%s)", info.Key.ID(), info.Algorithm), nil
	case err == nil:
		return fmt.Sprintf("a key (%s)", info.Algorithm), nil
	case !isAbsent(err) && (fatal(ctx, err) || status(err) != 0):
		return "", err
	case !isAbsent(err):
		return "what cannot be read", nil
	}
	_, err = t.certificate(ctx, slot)
	switch {
	case isAbsent(err):
		return "", nil
	case err != nil && (fatal(ctx, err) || status(err) != 0):
		return "", err
	case err != nil:
		return "a certificate that cannot be read", nil
	}
	return "a certificate", nil
}

// manage does what takes the management key. It finds the key by using it, and
// returns what was right.
func (t *talk) manage(ctx context.Context, given []byte, do func(card, []byte) error) ([]byte, error) {
	try := func(managementKey []byte) ([]byte, error) {
		return bytes.Clone(managementKey), askManaging(ctx, t, managementKey, do)
	}
	managementKey, err := try(given)
	if !notTheManagementKey(err) {
		return managementKey, err
	}
	if given != nil {
		return nil, fmt.Errorf("%w (%w)", ErrManagementKey, err)
	}
	if err := t.unlock(ctx, Always); err != nil {
		return nil, err
	}
	right := t.memory.right()
	defer clear(right)
	pin := string(right)
	kept, err := ask(ctx, t, func(c card) ([]byte, error) { return c.ProtectedManagementKey(pin) })
	if isAbsent(err) {
		return nil, fmt.Errorf("%w: it is not the factory's, and the stick keeps none under its PIN; it must be given", ErrManagementKey)
	}
	if err != nil {
		return nil, fmt.Errorf("management key under the PIN: %w", err)
	}
	defer clear(kept)
	managementKey, err = try(kept)
	if notTheManagementKey(err) {
		err = fmt.Errorf("%w: the one that the stick keeps under its PIN is not right (%w)", ErrManagementKey, err)
	}
	return managementKey, err
}

// askManaging makes a request with a management key of its own: one that is abandoned
// goes on after whoever asked has overwritten theirs.
func askManaging(ctx context.Context, t *talk, managementKey []byte, do func(card, []byte) error) error {
	lent := bytes.Clone(managementKey)
	_, err := ask(ctx, t, func(c card) (none, error) {
		defer clear(lent)
		return none{}, do(c, lent)
	})
	if t.abandoned == nil { // perhaps it was not even made
		clear(lent)
	}
	return err
}

// notTheManagementKey tells by the library's words: the card answers with the
// same status to other mistakes.
func notTheManagementKey(err error) bool {
	if err == nil || !strings.Contains(err.Error(), "authenticating with management key") {
		return false
	}
	return status(err) == swSecurity ||
		strings.Contains(err.Error(), "invalid management key length") ||
		strings.Contains(err.Error(), "challenge failed")
}

// describe writes the certificate, reads back what the card says of the key, and
// holds it to what was asked for.
func (t *talk) describe(ctx context.Context, made *Made, slot Slot, key *tuf.Key, managementKey []byte, r Request, origin string) error {
	cert, err := nameCertificate(key, r.Role, origin)
	if err != nil {
		return err
	}
	err = askManaging(ctx, t, managementKey, func(c card, managementKey []byte) error { return c.SetCertificate(managementKey, slot, cert) })
	if err != nil {
		return fmt.Errorf("write its certificate: %w", err)
	}
	if made.SlotInfo, err = t.slot(ctx, slot); err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	made.Certificate = cert.Subject.CommonName
	switch {
	case made.Key == nil || !made.Key.Equal(key):
		return fmt.Errorf("%w: another key is in the slot now", ErrCard)
	case made.PIN != "" && made.PIN != r.PIN, made.Touch != "" && made.Touch != r.Touch:
		return fmt.Errorf("%w: PIN %s and touch %s were asked for, it has PIN %s and touch %s", ErrCard, r.PIN, r.Touch, made.PIN, made.Touch)
	case made.Origin != "" && made.Origin != origin:
		return fmt.Errorf("%w: the key should be %s, it says %s", ErrCard, origin, made.Origin)
	}
	return nil
}

// vouch has the stick attest the key, and holds it to that.
func (t *talk) vouch(ctx context.Context, made *Made) (err error) {
	if made.Attestation, err = t.attestation(ctx, made.Slot); err != nil {
		if fatal(ctx, err) {
			return err
		}
		// The key is good without: whoever demands an attestation will say so.
		t.asker().Notice(fmt.Sprintf("warning: %s gives no attestation: %v", t, err))
		return nil
	}
	leaf, err := x509.ParseCertificate(made.Attestation[0])
	if err != nil {
		return err
	}
	if attested, err := tuf.NewKey(leaf.PublicKey); err != nil || !attested.Equal(made.Key) {
		return errors.Join(fmt.Errorf("%w: it attests another key", ErrCard), err)
	}
	says, err := attestation.Read(leaf)
	if err != nil { // nobody will believe it, and the key is good without
		made.Attestation = nil
		t.asker().Notice(fmt.Sprintf("warning: %s gives an attestation that proves nothing: %v", t, err))
		return nil
	}
	if is := (attestation.Proof{
		Serial: made.Serial, Firmware: attestation.Version(t.info.Firmware), Slot: made.Slot.String(), PIN: made.PIN, Touch: made.Touch, FormFactor: says.FormFactor,
	}); *says != is {
		return fmt.Errorf("%w: it attests firmware %s, slot %s, PIN %s and touch %s of YubiKey %d", ErrCard, says.Firmware, says.Slot, says.PIN, says.Touch, says.Serial)
	}
	return nil
}

// nameCertificate makes a certificate that names the key where other programs
// look. It proves nothing: it is signed by a key that is then forgotten, since
// the stick's own would cost a PIN and a touch.
func nameCertificate(key *tuf.Key, role, origin string) (*x509.Certificate, error) {
	forgotten, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	if origin == Generated {
		origin = "" // the attestation says so, and better
	}
	label := strings.Join(strings.Fields("signet "+role+" "+key.ID()[:12]+" "+origin), " ")
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: label},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5: none
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "signet label, proves nothing"}}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), forgotten)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
