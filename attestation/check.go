package attestation

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// clause is where the rules of this package stand, in docs/formats.md.
const clause = "Signet profile: attestations"

func refuse(rule tuf.Rule, format string, args ...any) error {
	return &tuf.Refusal{Rule: rule, Clause: clause, Detail: fmt.Sprintf(format, args...)}
}

// Check decides whether chain (PEM, leaf first) proves that key was made on a
// YubiKey below one of the roots. It returns what the stick vouches for, or a
// *tuf.Refusal that names the rule. What is demanded of policies and firmware is
// for a Demand to say.
func (r *Roots) Check(key *tuf.Key, chain []string, now time.Time) (proof *Proof, err error) {
	defer func() {
		if p := recover(); p != nil {
			proof, err = nil, refuse(tuf.RuleAttestationChain, "reading the attestation failed: %v", p)
		}
	}()
	if len(chain) == 0 {
		return nil, refuse(tuf.RuleNotAttested, "no attestation travels with the key")
	}
	certs, err := readChain(chain)
	if err != nil {
		return nil, refuse(tuf.RuleAttestationChain, "%v", err)
	}
	leaf, device, further := certs[0], certs[1], certs[2:]
	if err := vouches(device, leaf); err != nil {
		return nil, refuse(tuf.RuleAttestationChain, "%v", err)
	}
	root, until, err := r.lead(leaf, device, further, now)
	if err != nil {
		// Would it have held at another time? That is another rule, and another mistake.
		began := latestStart(certs)
		if _, _, then := r.lead(leaf, device, further, began); then == nil {
			return nil, refuse(tuf.RuleAttestationExpired, "the attestation holds at %s, but not at %s: %v",
				began.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), err)
		}
		return nil, refuse(tuf.RuleAttestationChain, "%v", err)
	}
	if proof, err = Read(leaf); err != nil {
		return nil, refuse(tuf.RuleAttestationChain, "the stick's certificate for the key: %v", err)
	}
	proof.Root, proof.Yubico, proof.Until = root.cert.Subject.CommonName, root.yubico, until
	attested, err := tuf.NewKey(leaf.PublicKey)
	if err != nil {
		return nil, refuse(tuf.RuleAttestationKey, "the attestation is of another key, in slot %s of YubiKey %d: %v", proof.Slot, proof.Serial, err)
	}
	if !attested.Equal(key) {
		return nil, refuse(tuf.RuleAttestationKey, "the attestation is of another key, %s, in slot %s of YubiKey %d", attested.ID(), proof.Slot, proof.Serial)
	}
	return proof, nil
}

// readChain reads a chain: one certificate in each PEM, the first two always.
func readChain(chain []string) ([]*x509.Certificate, error) {
	if len(chain) < 2 || len(chain) > tuf.MaxAttestation {
		return nil, fmt.Errorf("a chain of %d certificates, expected 2 to %d: the key's, the stick's, and others up to a root", len(chain), tuf.MaxAttestation)
	}
	size := 0
	for _, text := range chain {
		size += len(text)
	}
	if size > tuf.MaxAttestationBytes {
		return nil, fmt.Errorf("a chain of %d bytes, of which at most %d are read", size, tuf.MaxAttestationBytes)
	}
	certs := make([]*x509.Certificate, 0, len(chain))
	for i, text := range chain {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || !strings.HasPrefix(text, "-----BEGIN") || len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("certificate %d of the chain is not one in PEM", i+1)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %s", i+1, clip(err))
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

// vouches tells whether device, the stick's certificate, signed leaf. This is the
// one step that RFC 5280 has no part in: some sticks' certificates do not say that
// they may certify, and whether they may is for lead to say.
func vouches(device, leaf *x509.Certificate) error {
	switch {
	case !bytes.Equal(leaf.RawIssuer, device.RawSubject):
		return fmt.Errorf("the key's certificate is by %q, and the next in the chain is of %q", clip(leaf.Issuer), clip(device.Subject))
	case leaf.IsCA || leaf.Version != 3 || len(leaf.UnhandledCriticalExtensions) > 0:
		return errors.New("the key's certificate is not in the form of a stick's")
	case device.BasicConstraintsValid && !device.IsCA, device.KeyUsage != 0 && device.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("%q may not certify keys", clip(device.Subject))
	}
	if err := device.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature); err != nil {
		return fmt.Errorf("the key's certificate is not signed by the stick's, %q: %s", clip(device.Subject), clip(err))
	}
	return nil
}

// lead finds the root that device leads to, and until when it does so. Each root is
// tried on its own, since each has rules of its own.
func (r *Roots) lead(leaf, device *x509.Certificate, further []*x509.Certificate, now time.Time) (*anchor, time.Time, error) {
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return nil, time.Time{}, fmt.Errorf("the key's certificate holds from %s to %s", leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	between := pool(r.intermediates, further)
	why := fmt.Errorf("%q leads to no root that is trusted", clip(device.Subject))
	for i := range r.anchors {
		a := &r.anchors[i]
		paths, err := device.Verify(x509.VerifyOptions{Roots: pool([]*x509.Certificate{a.cert}), Intermediates: between, CurrentTime: now,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
			why = fmt.Errorf("%q holds from %s to %s", clip(invalid.Cert.Subject), invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339))
		}
		for _, path := range paths {
			if err := a.fits(path); err != nil {
				why = err
				continue
			}
			return a, earliestEnd(leaf, path), nil
		}
	}
	return nil, time.Time{}, why
}

// earliestEnd is when the first certificate of a path, or leaf, runs out.
func earliestEnd(leaf *x509.Certificate, path []*x509.Certificate) time.Time {
	end := leaf.NotAfter
	for _, cert := range path {
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return end
}

// fits holds a path, the stick's certificate first and the root last, to the
// rules of the root. RFC 5280 was checked with the stick's certificate as the end
// of the path, although it has the key's below it: the rest of that is here.
func (a *anchor) fits(path []*x509.Certificate) error {
	device := path[0]
	for below, cert := range path {
		limited := cert.MaxPathLen > 0 || cert.MaxPathLen == 0 && cert.MaxPathLenZero
		if !limited || below <= cert.MaxPathLen || a.short && cert.Equal(a.cert) {
			continue
		}
		return fmt.Errorf("%q certifies keys that may not certify others", clip(cert.Subject)) // RFC 5280, §4.2.1.9
	}
	if !device.BasicConstraintsValid && (len(path) != 2 || device.Subject.CommonName != deviceName) {
		// YubiKeys 4 have such certificates, right below a root. So has every key
		// that a stick attests: it must not attest others in turn.
		return fmt.Errorf("%q is not said to certify keys", clip(device.Subject))
	}
	if a.device != "" && device.Subject.CommonName != a.device {
		return fmt.Errorf("%q is not the name of a PIV attestation key", clip(device.Subject))
	}
	if a.issuer != "" && (len(path) < 3 || !strings.HasPrefix(path[1].Subject.CommonName, a.issuer)) {
		return fmt.Errorf("%q is not below one of Yubico's authorities for PIV", clip(device.Subject))
	}
	return nil
}

// latestStart is the time from which all certificates hold.
func latestStart(certs []*x509.Certificate) time.Time {
	var latest time.Time
	for _, cert := range certs {
		if cert.NotBefore.After(latest) {
			latest = cert.NotBefore
		}
	}
	return latest
}

// clip keeps what others wrote short enough for a message.
func clip(v any) string {
	s := fmt.Sprint(v)
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
