package yubikey

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	virtual "github.com/signet-trust/signet/test/yubikey/card"
	"github.com/signet-trust/signet/tuf"
)

// liar is a card that answers what no card should.
type liar struct {
	card      // what is not below panics
	public    crypto.PublicKey
	signer    crypto.Signer
	slot      func(made bool) (SlotInfo, error)
	attest    func() (*x509.Certificate, error)
	storing   error
	generated *bool
}

func (l liar) Serial() (uint32, error) { return 66666666, nil }
func (l liar) Version() Version        { return Version{5, 7, 4} }
func (l liar) Close() error            { return nil }
func (l liar) Slot(slot Slot) (SlotInfo, crypto.PublicKey, error) {
	if slot != Signature {
		return SlotInfo{}, nil, errors.New("unknown algorithm in response")
	}
	info, err := l.slot(l.generated != nil && *l.generated)
	info.Slot = slot
	return info, l.public, err
}
func (l liar) Certificate(Slot) (*x509.Certificate, error)          { return nil, errNothing }
func (l liar) Attest(Slot) (*x509.Certificate, error)               { return l.attest() }
func (l liar) AttestationCertificate() (*x509.Certificate, error)   { return l.attest() }
func (l liar) Signer(Slot, crypto.PublicKey) (crypto.Signer, error) { return l.signer, nil }
func (l liar) SetCertificate([]byte, Slot, *x509.Certificate) error { return l.storing }
func (l liar) Generate([]byte, Slot, Request) (crypto.PublicKey, error) {
	*l.generated = true
	return l.public, nil
}

type listening struct{ notices []string }

func (p *listening) StickSecret(context.Context, Question) ([]byte, error) {
	return []byte("135790"), nil
}
func (p *listening) Notice(text string) { p.notices = append(p.notices, text) }

func openLiar(t *testing.T, l liar) (*Stick, *listening) {
	t.Helper()
	p := &listening{}
	s := NewSession(Config{Asker: p, Wait: -1})
	s.driver = driver{
		readers: func() ([]string, error) { return []string{"Other reader 00 00", "Yubico YubiKey 01 00"}, nil },
		open: func(reader string) (card, error) {
			if reader != "Yubico YubiKey 01 00" {
				t.Errorf("opened %q", reader)
			}
			return l, nil
		},
	}
	t.Cleanup(func() { s.Close() })
	stick, err := s.Open(t.Context(), 66666666)
	if err != nil {
		t.Fatal(err)
	}
	return stick, p
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// attesting has a stick attest a key of its own, or what else is claimed.
func attesting(t *testing.T, claim virtual.Claim) func() (*x509.Certificate, error) {
	t.Helper()
	maker, err := virtual.NewMaker()
	if err != nil {
		t.Fatal(err)
	}
	claim.Firmware, err = virtual.ParseFirmware("5.7.4")
	if err != nil {
		t.Fatal(err)
	}
	leaf, _, err := maker.Attest(claim)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*x509.Certificate, error) { return leaf, nil }
}

func withoutPIN(bool) (SlotInfo, error) { return SlotInfo{PIN: Never, Touch: Never}, nil }

func TestSignatureOfAnotherKeyIsNotHandedOut(t *testing.T) {
	stick, _ := openLiar(t, liar{public: newKey(t).Public(), signer: newKey(t), slot: withoutPIN})
	key, err := stick.Key(t.Context(), Signature)
	if err != nil {
		t.Fatal(err)
	}
	if sig, err := key.Sign(t.Context(), []byte("x")); sig != nil || !errors.Is(err, ErrCard) {
		t.Errorf("got %x, %v", sig, err)
	}
}

func TestCardCannotEndTheProcess(t *testing.T) {
	stick, _ := openLiar(t, liar{slot: withoutPIN, attest: func() (*x509.Certificate, error) { panic("index out of range") }})
	if _, err := stick.Attestation(t.Context(), Signature); !errors.Is(err, ErrCard) {
		t.Errorf("got %v", err)
	}
	if keys, err := stick.Keys(t.Context()); err != nil || len(keys) != len(allSlots()) || keys[0].Algorithm != "unreadable" {
		t.Errorf("unreadable slots: %v, %v", keys, err)
	}
	if _, err := stick.Key(t.Context(), Signature); err == nil {
		t.Error("a key without a public key")
	}
}

func TestGenerateHoldsTheCardToItsWord(t *testing.T) {
	key, other := newKey(t), newKey(t)
	as := func(pin, touch string) func(bool) (SlotInfo, error) {
		return func(made bool) (SlotInfo, error) {
			if !made {
				return SlotInfo{}, errNothing
			}
			return SlotInfo{PIN: pin, Touch: touch}, nil
		}
	}
	claim := func(public crypto.PublicKey, edit func(*virtual.Claim)) func() (*x509.Certificate, error) {
		c := virtual.Claim{Key: public, Slot: 0x9c, Serial: 66666666, PIN: 3, Touch: 2, FormFactor: 1}
		edit(&c)
		return attesting(t, c)
	}
	truth := func(*virtual.Claim) {}
	pulledOut := explain(errors.New("the smart card has been removed, so further communication is not possible"))
	for _, test := range []struct {
		claim  string
		card   liar
		want   error
		notice string
	}{
		{"as asked for", liar{slot: as(Always, Always), attest: claim(key.Public(), truth)}, nil, "made key"},
		{"weaker touch", liar{slot: as(Always, Never)}, ErrCard, ""},
		{"weaker PIN", liar{slot: as(Once, Always)}, ErrCard, ""},
		{"says that it was imported", liar{slot: func(made bool) (SlotInfo, error) {
			info, err := as(Always, Always)(made)
			info.Origin = Imported
			return info, err
		}}, ErrCard, ""},
		{"attests another key", liar{slot: as(Always, Always), attest: claim(other.Public(), truth)}, ErrCard, ""},
		{"attests another slot", liar{slot: as(Always, Always), attest: claim(key.Public(), func(c *virtual.Claim) { c.Slot = 0x82 })}, ErrCard, ""},
		{"attests another stick", liar{slot: as(Always, Always), attest: claim(key.Public(), func(c *virtual.Claim) { c.Serial++ })}, ErrCard, ""},
		{"attests a weaker touch", liar{slot: as(Always, Always), attest: claim(key.Public(), func(c *virtual.Claim) { c.Touch = 1 })}, ErrCard, ""},
		{"attests a weaker PIN", liar{slot: as(Always, Always), attest: claim(key.Public(), func(c *virtual.Claim) { c.PIN = 2 })}, ErrCard, ""},
		{"attests in no form", liar{slot: as(Always, Always), attest: claim(key.Public(), func(c *virtual.Claim) {
			c.Edit = func(cert *x509.Certificate) { cert.ExtraExtensions = nil }
		})}, nil, "proves nothing"},
		{"attests nothing", liar{slot: as(Always, Always), attest: func() (*x509.Certificate, error) { return nil, errNothing }}, nil, "no attestation"},
		{"pulled out before the certificate", liar{slot: as(Always, Always), storing: pulledOut}, ErrRemoved, ""},
		{"pulled out before the attestation", liar{slot: as(Always, Always), attest: func() (*x509.Certificate, error) { return nil, pulledOut }}, ErrRemoved, ""},
	} {
		t.Run(test.claim, func(t *testing.T) {
			test.card.public, test.card.generated = key.Public(), new(bool)
			stick, p := openLiar(t, test.card)
			made, err := stick.Generate(t.Context(), Request{Role: "root"})
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), "was made in slot 9c, but not finished") {
				t.Errorf("the key is there, and all that is said is %v", err)
			}
			if err == nil && made.Slot != Signature {
				t.Errorf("made %+v", made)
			}
			if said := strings.Join(p.notices, "\n"); !strings.Contains(said, test.notice) {
				t.Errorf("said %q", said)
			}
		})
	}
}

func TestBombsAreNotInflated(t *testing.T) {
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	w.Write(make([]byte, maxCertificate+1))
	w.Close()
	if raw, err := inflate(bomb.Bytes()); err == nil {
		t.Errorf("%d bytes", len(raw))
	}
}

// TestExplain holds us to PC/SC's words as the card library has them.
func TestExplain(t *testing.T) {
	for text, want := range map[string]error{
		"connecting to pcsc: the Smart card resource manager is not running":                                          ErrNoDaemon,
		"connecting to smart card: the smart card cannot be accessed because of other connections outstanding":        ErrBusy,
		"connecting to pcsc: access was denied because of a security violation":                                       ErrNotAllowed,
		"transmitting request: the smart card has been removed, so further communication is not possible":             ErrRemoved,
		"connecting to smart card: the operation requires a Smart Card, but no Smart Card is currently in the device": ErrRemoved,
		"something else": nil,
	} {
		err := explain(errors.New(text))
		if want == nil && err.Error() != text || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestPINTries(t *testing.T) {
	for sw, want := range map[statusWord]int{0x63c2: 2, 0x63c0: 0, 0x6302: 2, 0x6983: 0, 0x6982: -1, 0x9000: -1} {
		left, wrong := pinTries(sw)
		if wrong != (want >= 0) || wrong && left != want {
			t.Errorf("%04x: %d, %v", uint16(sw), left, wrong)
		}
	}
}

type statusWord uint16

func (sw statusWord) Status() uint16 { return uint16(sw) }
func (sw statusWord) Error() string  { return "answered" }

// TestTwins has a device say that it is the stick beside it, and hold its key. It is
// not told that one's PIN, nor handed out in its place.
func TestTwins(t *testing.T) {
	private := newKey(t)
	l := liar{public: private.Public(), signer: private, slot: withoutPIN}
	key, err := tuf.NewKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	s := NewSession(Config{Asker: &listening{}, Wait: -1})
	defer s.Close()
	readers := []string{"Yubico YubiKey 00 00", "Yubico YubiKey 01 00"}
	s.driver = driver{
		readers: func() ([]string, error) { return readers, nil },
		watch:   func() (string, error) { return "", nil },
		open:    func(string) (card, error) { return l, nil },
	}
	for name, try := range map[string]func() error{
		"open":  func() error { _, err := s.Open(t.Context(), 66666666); return err },
		"key":   func() error { _, err := s.Key(t.Context(), 66666666, Signature, key); return err },
		"find":  func() error { _, err := s.Find(t.Context(), key.ID()); return err },
		"await": func() error { _, err := s.Await(t.Context(), 66666666, 0); return err },
	} {
		if err := try(); !errors.Is(err, ErrTwins) || !strings.Contains(err.Error(), readers[0]) || !strings.Contains(err.Error(), readers[1]) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("not listed: %v, %v", list, err)
	}
	readers = readers[:1]
	if _, err := s.Key(t.Context(), 66666666, Signature, key); err != nil {
		t.Errorf("with one pulled out: %v", err)
	}
}

// slowly is a card that makes keys slowly.
type slowly struct {
	liar
	began, goOn chan struct{}
	seen        chan []byte
}

func (c slowly) Generate(managementKey []byte, _ Slot, _ Request) (crypto.PublicKey, error) {
	close(c.began)
	<-c.goOn
	c.seen <- bytes.Clone(managementKey)
	return c.public, nil
}

// TestAbandonedRequestKeepsItsManagementKey has a person give up while a key is made:
// the request that goes on must not find the management key overwritten under it.
func TestAbandonedRequestKeepsItsManagementKey(t *testing.T) {
	absent := func(bool) (SlotInfo, error) { return SlotInfo{}, errNothing }
	c := slowly{liar{public: newKey(t).Public(), slot: absent}, make(chan struct{}), make(chan struct{}), make(chan []byte, 1)}
	s := NewSession(Config{Wait: -1})
	s.driver = driver{
		readers: func() ([]string, error) { return []string{"Yubico YubiKey 00 00"}, nil },
		open:    func(string) (card, error) { return c, nil },
	}
	defer s.Close()
	stick, err := s.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-c.began
		cancel()
	}()
	given := bytes.Repeat([]byte{7}, 24)
	if _, err := stick.Generate(ctx, Request{Slot: Signature, ManagementKey: given}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	clear(given) // as whoever gave it does
	close(c.goOn)
	if seen := <-c.seen; !bytes.Equal(seen, bytes.Repeat([]byte{7}, 24)) {
		t.Errorf("it saw %x", seen)
	}
}
