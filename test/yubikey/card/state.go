package card

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// A state is what the card keeps without power.
type state struct {
	Serial     uint32             `json:"serial"`
	Firmware   string             `json:"firmware"`
	PIN        secret             `json:"pin"`
	PUK        secret             `json:"puk"`
	Management managementKey      `json:"management"`
	Objects    map[string][]byte  `json:"objects"` // by tag, in hex
	Keys       map[string]keptKey `json:"keys"`    // by slot, in hex; keys in its form on disk

	keys map[byte]*slotKey
}

// A keptKey is a slotKey on disk.
type keptKey struct {
	PKCS8  []byte `json:"pkcs8"`
	PIN    byte   `json:"pin"`
	Touch  byte   `json:"touch"`
	Origin byte   `json:"origin"`
}

// wipe makes the state that the factory delivers. The attestation key and its
// certificate stay, as they do on a real key.
func (c *Card) wipe() {
	fresh := state{
		Serial:     c.serial,
		Firmware:   c.firmware.String(),
		PIN:        newSecret(factoryPIN, factoryTries),
		PUK:        newSecret(factoryPUK, factoryTries),
		Management: managementKey{c.firmware.managementAlgorithm(), []byte(factoryManagementKey), touchNever},
		Objects:    make(map[string][]byte),
		keys:       make(map[byte]*slotKey),
	}
	if key, ok := c.state.keys[slotAttestation]; ok {
		fresh.keys[slotAttestation] = key
	}
	if certificate, ok := c.state.Objects[objectAttestation]; ok {
		fresh.Objects[objectAttestation] = certificate
	}
	c.state, c.changed = fresh, true
	c.session.pin, c.session.managed = false, false
}

// load reads the state file, if there is one.
func (c *Card) load() (bool, error) {
	if c.stateFile == "" {
		return false, nil
	}
	var s state
	err := readJSON(c.stateFile, &s)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read state: %w", err)
	}
	if s.Serial != c.serial || s.Firmware != c.firmware.String() {
		return false, fmt.Errorf("%s belongs to card %d with firmware %s", c.stateFile, s.Serial, s.Firmware)
	}
	s.keys = make(map[byte]*slotKey)
	for number, kept := range s.Keys {
		slot, err := strconv.ParseUint(number, 16, 8)
		if err != nil {
			return false, fmt.Errorf("%s: slot %q: %w", c.stateFile, number, err)
		}
		key, err := parsePrivateKey(kept.PKCS8)
		if err != nil {
			return false, fmt.Errorf("%s: slot %q: %w", c.stateFile, number, err)
		}
		s.keys[byte(slot)] = &slotKey{key, kept.PIN, kept.Touch, kept.Origin}
	}
	if s.Objects == nil {
		s.Objects = make(map[string][]byte)
	}
	c.state = s
	return true, nil
}

// save writes the state file when something changed, before the command that
// changed it is answered.
func (c *Card) save() error {
	if c.stateFile == "" || !c.changed {
		return nil
	}
	c.state.Keys = make(map[string]keptKey)
	for slot, key := range c.state.keys {
		der, err := x509.MarshalPKCS8PrivateKey(key.key.private())
		if err != nil {
			return fmt.Errorf("slot %x: %w", slot, err)
		}
		c.state.Keys[strconv.FormatUint(uint64(slot), 16)] = keptKey{der, key.PIN, key.Touch, key.Origin}
	}
	if err := writeJSON(c.stateFile, c.state); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	c.changed = false
	return nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeJSON replaces path as a whole, readable by its owner only.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(append(b, '\n')); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
