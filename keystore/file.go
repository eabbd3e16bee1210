package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/signet-trust/signet/tuf"
)

// maxFile bounds a key file: a key is some 600 bytes, an attestation chain
// some 3 kB.
const maxFile = 32 << 10

// document is the form of a key file.
type document struct {
	KeyID     string          `json:"keyid"`
	Key       *tuf.Key        `json:"key"`
	Created   time.Time       `json:"created"`
	Name      string          `json:"name,omitempty"`
	Role      string          `json:"role,omitempty"`
	Encrypted json.RawMessage `json:"encrypted,omitempty"`
	YubiKey   *OnStick        `json:"yubikey,omitempty"`
}

// sealed is the form that package encrypted gives and takes.
type sealed struct {
	KDF struct {
		Name   string `json:"name"`
		Params struct {
			N int `json:"N"`
			R int `json:"r"`
			P int `json:"p"`
		} `json:"params"`
		Salt []byte `json:"salt"`
	} `json:"kdf"`
	Cipher struct {
		Name  string `json:"name"`
		Nonce []byte `json:"nonce"`
	} `json:"cipher"`
	Ciphertext []byte `json:"ciphertext"`
}

// seal encrypts an encoded private key.
func seal(private, passphrase []byte) ([]byte, error) {
	return encrypted.EncryptWithCustomKDFParameters(private, passphrase, encrypted.OWASP)
}

// checkSealed refuses what seal does not write, so that a file can neither ask
// for more memory than 128 r N = 128 MiB nor weaken what guards its key.
func checkSealed(raw []byte) error {
	var s sealed
	if err := readExactly(raw, &s); err != nil {
		return fmt.Errorf("encrypted: %w", err)
	}
	p := s.KDF.Params
	switch {
	case s.KDF.Name != "scrypt" || s.Cipher.Name != "nacl/secretbox":
		return fmt.Errorf("encrypted with %q and %q, expected scrypt and nacl/secretbox", s.KDF.Name, s.Cipher.Name)
	case p.N != 1<<17 || p.R != 8 || p.P != 1:
		return fmt.Errorf("scrypt N=%d r=%d p=%d, expected N=131072 r=8 p=1", p.N, p.R, p.P)
	case len(s.KDF.Salt) != 32 || len(s.Cipher.Nonce) != 24:
		return fmt.Errorf("salt of %d and nonce of %d bytes, expected 32 and 24", len(s.KDF.Salt), len(s.Cipher.Nonce))
	case len(s.Ciphertext) == 0:
		return errors.New("no ciphertext")
	}
	return nil
}

// readExactly decodes raw into v and refuses every member that v does not have,
// has twice, or under another case: what is read must be all that was there.
// Only white space is free.
func readExactly(raw []byte, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return err
	}
	var is bytes.Buffer
	if err := json.Compact(&is, raw); err != nil {
		return err
	}
	expected, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(is.Bytes(), expected) {
		return errors.New("members that this version of signet does not write")
	}
	return nil
}

// encodeEntry is the file form of e.
func encodeEntry(e Entry) ([]byte, error) {
	raw, err := json.MarshalIndent(document{
		KeyID: e.Key.ID(), Key: e.Key, Created: e.Created,
		Name: e.Name, Role: e.Role, Encrypted: e.sealed, YubiKey: e.Stick,
	}, "", "  ")
	return append(raw, '\n'), err
}

// decodeEntry reads a key file. It believes nothing in it.
func decodeEntry(raw []byte) (Entry, error) {
	if len(raw) > maxFile {
		return Entry{}, fmt.Errorf("larger than %d bytes", maxFile)
	}
	var d document
	if err := readExactly(raw, &d); err != nil {
		return Entry{}, err
	}
	if d.Key == nil {
		return Entry{}, errors.New("no key in it")
	}
	// Made anew from the bare public key: what else a key object might carry
	// would change its ID.
	key, err := tuf.NewKey(d.Key.Public())
	if err != nil {
		return Entry{}, err
	}
	if d.KeyID != key.ID() {
		return Entry{}, fmt.Errorf("says key ID %.64q, but its key has %s", d.KeyID, key.ID())
	}
	if _, offset := d.Created.Zone(); offset != 0 || d.Created.Nanosecond() != 0 {
		return Entry{}, errors.New("created: expected whole seconds in UTC")
	}
	if d.Encrypted != nil && d.YubiKey != nil {
		return Entry{}, errors.New("says that its key is both here and on a YubiKey")
	}
	if d.Encrypted != nil {
		if err := checkSealed(d.Encrypted); err != nil {
			return Entry{}, err
		}
	}
	e := Entry{Key: key, Created: d.Created, Name: d.Name, Role: d.Role, Stick: d.YubiKey, sealed: d.Encrypted}
	return e, e.check()
}

var (
	slotName     = regexp.MustCompile(`^(9[acde]|8[2-9a-f]|9[0-5])$`)
	policyName   = regexp.MustCompile(`^(never|once|always|cached|fingerprint)$`)
	firmwareName = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){2}$`)
	hexOnly      = regexp.MustCompile(`^[0-9a-fA-F]{6,}$`)
)

// check holds an entry's words to their grammar.
func (e Entry) check() error {
	if err := checkWord("name", e.Name); err != nil {
		return err
	}
	if err := checkWord("role", e.Role); err != nil {
		return err
	}
	if e.Stick != nil {
		return e.Stick.check()
	}
	return nil
}

func (s *OnStick) check() error {
	switch {
	case !slotName.MatchString(s.Slot):
		return fmt.Errorf("slot %.8q: expected 9a, 9c, 9d, 9e or 82 to 95", s.Slot)
	case s.PIN != "" && !policyName.MatchString(s.PIN), s.Touch != "" && !policyName.MatchString(s.Touch):
		return fmt.Errorf("PIN policy %.16q and touch policy %.16q: expected never, once, always, cached or fingerprint", s.PIN, s.Touch)
	case s.Firmware != "" && !firmwareName.MatchString(s.Firmware):
		return fmt.Errorf("firmware %.16q: expected such as 5.7.4", s.Firmware)
	case s.Imported && len(s.Attestation) > 0:
		return errors.New("says that its key was imported and attested: no stick does that")
	}
	return nil
}

// checkWord keeps names printable, short, and unlike key IDs and paths.
func checkWord(what, word string) error {
	if word == "" {
		return nil
	}
	if hexOnly.MatchString(word) {
		return fmt.Errorf("%s %.64q could be taken for the start of a key ID", what, word)
	}
	for i, r := range word {
		inside := i > 0 && (r == '.' || r == '_' || r == '-' || r == '@' || r == '+' || r == ' ')
		if r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !inside {
			return fmt.Errorf("%s %.64q: expected letters, digits and . _ - @ +, a letter or digit first", what, word)
		}
	}
	if utf8.RuneCountInString(word) > 64 {
		return fmt.Errorf("%s of %d characters: at most 64", what, utf8.RuneCountInString(word))
	}
	return nil
}

// readFile reads path if it is an ordinary file of at most limit bytes, and
// reports whether others may read it.
func readFile(path string, limit int64) (raw []byte, open bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() { // a pipe would block here for ever
		return nil, false, fmt.Errorf("%s: not an ordinary file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, false, err
	}
	raw, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, false, err
	}
	return raw, openToOthers(info), nil
}

// readEntry reads a key file.
func readEntry(path string) (Entry, error) {
	raw, open, err := readFile(path, maxFile)
	if err != nil {
		return Entry{}, err
	}
	if open {
		return Entry{}, fmt.Errorf("%w: make it yours alone: chmod 600 '%s'", ErrPermissions, path)
	}
	e, err := decodeEntry(raw)
	if err != nil {
		return Entry{}, fmt.Errorf("%w %s: %w", ErrDamaged, path, err)
	}
	e.Path = path
	return e, nil
}
