package card

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/subtle"
)

const (
	algorithm3DES   = 0x03
	algorithmAES128 = 0x08
	algorithmAES192 = 0x0A
	algorithmAES256 = 0x0C
)

// factoryManagementKey is the one that every YubiKey is sold with.
const factoryManagementKey = "\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08"

// A managementKey allows to change what is on the card. There is no limit on
// wrong guesses.
type managementKey struct {
	Algorithm byte   `json:"algorithm"`
	Key       []byte `json:"key"`
	Touch     byte   `json:"touch"`
}

func (k managementKey) block() (cipher.Block, error) {
	if k.Algorithm == algorithm3DES {
		return des.NewTripleDESCipher(k.Key)
	}
	return aes.NewCipher(k.Key)
}

// The objects inside a dynamic authentication template (SP 800-73-4 part 2, 3.2.4).
const (
	tagTemplate  = 0x7C
	tagWitness   = 0x80
	tagChallenge = 0x81
	tagResponse  = 0x82
	tagExponent  = 0x85
)

// authenticateManagement is GENERAL AUTHENTICATE with key 9B, in two steps: the
// card hands out a witness (mutual) or a challenge (single), the host answers.
func (c *Card) authenticateManagement(ctx context.Context, cmd Command) ([]byte, error) {
	key := c.state.Management
	algorithm := cmd.P1
	if algorithm == 0 {
		algorithm = algorithm3DES
	}
	if algorithm != key.Algorithm {
		return nil, StatusWrongData
	}
	block, err := key.block()
	if err != nil {
		return nil, StatusTrouble
	}
	template, err := readTemplate(cmd.Data)
	if err != nil {
		return nil, err
	}
	question := c.session.question // a challenge is used once
	c.session.question = nil

	witness, hasWitness := template[tagWitness]
	challenge, hasChallenge := template[tagChallenge]
	response, hasResponse := template[tagResponse]
	switch {
	case hasWitness && len(witness) == 0:
		return c.ask(block, tagWitness)
	case hasChallenge && len(challenge) == 0:
		return c.ask(block, tagChallenge)
	case hasWitness && hasChallenge:
		if len(challenge) != block.BlockSize() {
			return nil, StatusWrongData
		}
		if question == nil || question.kind != tagWitness || !same(witness, question.value) {
			return nil, StatusSecurity
		}
		if err := c.managed(ctx, key); err != nil {
			return nil, err
		}
		answer := make([]byte, block.BlockSize())
		block.Encrypt(answer, challenge)
		return tlv(tagTemplate, tlv(tagResponse, answer...)...), nil
	case hasResponse:
		if question == nil || question.kind != tagChallenge {
			return nil, StatusSecurity
		}
		want := make([]byte, block.BlockSize())
		block.Encrypt(want, question.value)
		if !same(response, want) {
			return nil, StatusSecurity
		}
		return nil, c.managed(ctx, key)
	}
	return nil, StatusWrongData
}

// A question is what the card asked the host to encrypt or decrypt.
type question struct {
	kind  byte
	value []byte
}

func (c *Card) ask(block cipher.Block, kind byte) ([]byte, error) {
	value := make([]byte, block.BlockSize())
	rand.Read(value)
	c.session.managed = false
	c.session.question = &question{kind, value}
	shown := bytes.Clone(value)
	if kind == tagWitness {
		block.Encrypt(shown, value)
	}
	return tlv(tagTemplate, tlv(kind, shown...)...), nil
}

func (c *Card) managed(ctx context.Context, key managementKey) error {
	if !c.touched(ctx, slotManagement, key.Touch) {
		return StatusSecurity
	}
	c.session.managed = true
	return nil
}

// readTemplate reads 7C L { ... }.
func readTemplate(data []byte) (map[byte][]byte, error) {
	inner, err := unwrap(tagTemplate, data)
	if err != nil {
		return nil, err
	}
	return readAll(inner)
}

// setManagementKey is SET MANAGEMENT KEY: algorithm, 9B, length, key.
func (c *Card) setManagementKey(cmd Command) ([]byte, error) {
	if !c.session.managed {
		return nil, StatusSecurity
	}
	touch, ok := map[byte]byte{0xFF: touchNever, 0xFE: touchAlways, 0xFD: touchCached}[cmd.P2]
	if cmd.P1 != 0xFF || !ok {
		return nil, StatusWrongParameters
	}
	if len(cmd.Data) < 3 || cmd.Data[1] != slotManagement || len(cmd.Data) != 3+int(cmd.Data[2]) {
		return nil, StatusWrongData
	}
	algorithm, key := cmd.Data[0], cmd.Data[3:]
	if !c.takes(algorithm, key) {
		return nil, StatusWrongData
	}
	c.changed = true
	c.state.Management = managementKey{algorithm, bytes.Clone(key), touch}
	return nil, nil
}

// takes tells whether the firmware knows the algorithm and the key has its length.
func (c *Card) takes(algorithm byte, key []byte) bool {
	want := map[byte]int{algorithm3DES: 24, algorithmAES128: 16, algorithmAES192: 24, algorithmAES256: 32}[algorithm]
	return len(key) == want && (algorithm == algorithm3DES || c.firmware.hasAESKeys())
}

func same(a, b []byte) bool {
	return subtle.ConstantTimeCompare(a, b) == 1
}
