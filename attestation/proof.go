package attestation

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Proof is what an attestation says, once it was checked.
type Proof struct {
	Serial     uint32  `json:"serial"`
	Firmware   Version `json:"firmware"`
	Slot       string  `json:"slot"`                 // "9c", "82"
	PIN        string  `json:"pin"`                  // "never", "once", "always", or "fingerprint" on a YubiKey Bio
	Touch      string  `json:"touch"`                // "never", "always", or "cached": within 15 seconds of the last one
	FormFactor string  `json:"formFactor,omitempty"` // "USB-A keychain"; "" when the stick does not say
	Root       string  `json:"root"`                 // name of the root that the chain leads to
	Yubico     bool    `json:"yubico"`               // the root is Yubico's, not a configured one

	Until time.Time `json:"-"` // when the first certificate of the chain runs out, the root's among them
}

// The words for policies are those of package keystore/yubikey.
const (
	never       = "never"
	once        = "once"
	always      = "always"
	cached      = "cached"
	fingerprint = "fingerprint"
)

var pinPolicies = map[byte]string{1: never, 2: once, 3: always, 4: fingerprint, 5: fingerprint}

var touchPolicies = map[byte]string{1: never, 2: always, 3: cached}

var formFactors = map[byte]string{
	1: "USB-A keychain", 2: "USB-A nano", 3: "USB-C keychain", 4: "USB-C nano", 5: "USB-C and Lightning",
	6: "USB-A keychain, Bio", 7: "USB-C keychain, Bio",
}

// formFIPS and formSecurityKey are flags beside the number of a form factor.
const formFIPS, formSecurityKey = 0x80, 0x40

// piv is Yubico's arc of PIV attestations.
func piv(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, n}
}

// Numbers below the arc.
const (
	extensionFirmware   = 3
	extensionSerial     = 7
	extensionPolicy     = 8
	extensionFormFactor = 9
)

// attestedName begins the name of a leaf. The slot follows, in hex.
const attestedName = "YubiKey PIV Attestation "

// Read reads what leaf says, whoever made it: only Check tells whether to believe
// it. Whatever a demand may be made of has to be there: what a stick leaves out
// cannot be vouched for.
func Read(leaf *x509.Certificate) (*Proof, error) {
	values := map[int][]byte{}
	for n := extensionFirmware; n <= extensionFormFactor; n++ {
		for _, extension := range leaf.Extensions {
			if !extension.Id.Equal(piv(n)) {
				continue
			}
			if _, twice := values[n]; twice {
				return nil, fmt.Errorf("the extension %s stands twice", extension.Id)
			}
			values[n] = extension.Value
		}
	}
	p := &Proof{}
	firmware, policy := values[extensionFirmware], values[extensionPolicy]
	if len(firmware) != 3 {
		return nil, fmt.Errorf("the firmware version is %d bytes, expected 3", len(firmware))
	}
	p.Firmware = Version{int(firmware[0]), int(firmware[1]), int(firmware[2])}
	var err error
	if p.Serial, err = readSerial(values[extensionSerial]); err != nil {
		return nil, err
	}
	if len(policy) != 2 {
		return nil, fmt.Errorf("the PIN and touch policies are %d bytes, expected 2", len(policy))
	}
	if p.PIN, p.Touch = pinPolicies[policy[0]], touchPolicies[policy[1]]; p.PIN == "" || p.Touch == "" {
		return nil, fmt.Errorf("the PIN policy %#x with the touch policy %#x is not known", policy[0], policy[1])
	}
	if form, ok := values[extensionFormFactor]; ok {
		if len(form) != 1 {
			return nil, fmt.Errorf("the form factor is %d bytes, expected 1", len(form))
		}
		p.FormFactor = formFactor(form[0])
	}
	p.Slot, err = readSlot(leaf.Subject.CommonName)
	return p, err
}

func readSerial(value []byte) (uint32, error) {
	if value == nil {
		return 0, fmt.Errorf("it names no serial number")
	}
	var serial int64
	rest, err := asn1.Unmarshal(value, &serial)
	if err != nil || len(rest) > 0 || serial < 1 || serial > math.MaxUint32 {
		return 0, fmt.Errorf("the serial number %x is not one", clipBytes(value))
	}
	return uint32(serial), nil
}

func readSlot(name string) (string, error) {
	digits, ok := strings.CutPrefix(name, attestedName)
	n, err := strconv.ParseUint(digits, 16, 8)
	known := n >= 0x82 && n <= 0x95 || slices.Contains([]uint64{0x9a, 0x9c, 0x9d, 0x9e}, n)
	if !ok || err != nil || len(digits) != 2 || !known {
		return "", fmt.Errorf("it is called %.60q, expected %q and a slot", name, attestedName)
	}
	return strconv.FormatUint(n, 16), nil
}

func formFactor(b byte) string {
	form := formFactors[b&^(formFIPS|formSecurityKey)]
	if form != "" && b&formFIPS != 0 {
		form += ", FIPS"
	}
	return form
}

func clipBytes(b []byte) []byte { return b[:min(len(b), 32)] }

// Weak returns "", or one sentence on the known weakness that a key has on its
// stick's firmware.
func Weak(p *Proof, key *tuf.Key) string {
	fixed := Version{Major: 5, Minor: 7}
	if strings.Contains(p.FormFactor, ", Bio") {
		fixed.Patch = 2
	}
	if algorithm := key.Algorithm(); algorithm != "p256" && algorithm != "p384" || p.Firmware.Compare(fixed) >= 0 {
		return ""
	}
	return fmt.Sprintf("EUCLEAK (Yubico YSA-2024-03): the firmware of YubiKey %d, %s, is below %s, so that its ECDSA keys can be copied by whoever has the stick, its PIN and, for hours, a laboratory",
		p.Serial, p.Firmware, fixed)
}
