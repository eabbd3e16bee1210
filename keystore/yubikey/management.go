package yubikey

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
)

// The algorithms of management keys.
const (
	alg3DES   = 0x03
	algAES128 = 0x08
	algAES192 = 0x0a
	algAES256 = 0x0c
)

var managementAlgorithms = map[byte]string{alg3DES: "3des", algAES128: "aes128", algAES192: "aes192", algAES256: "aes256"}

// factoryManagementKey is what every stick is sold with.
func factoryManagementKey() []byte {
	return bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 3)
}

// The objects that hold what is known of a management key.
var (
	objPrinted = [3]byte{0x5f, 0xc1, 0x09} // readable with the PIN: 88 L 89 L key
	objAdmin   = [3]byte{0x5f, 0xff, 0x00} // readable: 80 L 81 01 flags ...
)

const flagUnderPIN = 0x02 // of the admin object

func (w wire) managementStatus(firmware Version) (ManagementStatus, error) {
	s := ManagementStatus{Algorithm: managementAlgorithms[alg3DES]} // AES came with 5.4
	if firmware.hasMetadata() {
		m, err := w.metadata(refManage)
		if err != nil {
			return s, err
		}
		s.Factory = factoryFlag(m)
		if a := m[metaAlgorithm]; len(a) == 1 {
			s.Algorithm = managementAlgorithms[a[0]]
		}
		if p := m[metaPolicy]; len(p) == 2 {
			s.Touch = map[byte]string{1: Never, 2: Always, 3: Cached, 0: Never, 0xff: Never}[p[1]]
		}
	} else { // it has no counter of wrong tries
		err := w.prove(alg3DES, factoryManagementKey())
		if err != nil && !errors.Is(err, ErrManagementKey) {
			return s, err
		}
		s.Factory = answer(err == nil)
	}
	flags, err := w.adminFlags()
	if err != nil {
		return s, nil // a note of other programs; none, or none that we can read
	}
	s.UnderPIN = answer(flags&flagUnderPIN != 0 && s.Factory != Yes)
	return s, nil
}

// adminFlags reads the flags that programs leave for each other.
func (w wire) adminFlags() (byte, error) {
	value, err := w.object(objAdmin)
	if isAbsent(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	outer, _, err := readTLV(value)
	if err != nil || outer.tag != 0x80 {
		return 0, errTLV
	}
	inner, err := readTLVs(outer.value)
	if err != nil {
		return 0, err
	}
	if f := inner[0x81]; len(f) == 1 {
		return f[0], nil
	}
	return 0, nil
}

// setAdminFlag adds a flag and leaves all else in the object as it is. What is
// not in its form is replaced.
func (w wire) setAdminFlag(flag byte) error {
	value, err := w.object(objAdmin)
	if err != nil && !isAbsent(err) {
		return err
	}
	flags, kept := byte(0), []byte(nil)
	if outer, _, err := readTLV(value); err == nil && outer.tag == 0x80 {
		for rest := outer.value; len(rest) > 0; {
			object, next, err := readTLV(rest)
			if err != nil {
				break
			}
			if object.tag != 0x81 {
				kept = appendTLV(kept, object.tag, object.value)
			} else if len(object.value) == 1 {
				flags = object.value[0]
			}
			rest = next
		}
	}
	inner := append(appendTLV(nil, 0x81, []byte{flags | flag}), kept...)
	return w.setObject(objAdmin, appendTLV(nil, 0x80, inner))
}

// prove shows the card that we have the management key, and has the card show
// the same (mutual authentication).
func (w wire) prove(algorithm byte, key []byte) error {
	block, err := managementBlock(algorithm, key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrManagementKey, err)
	}
	n := block.BlockSize()
	answer, err := w.send(insProve, algorithm, refManage, 0x7c, 2, 0x80, 0)
	if err != nil {
		return err
	}
	witness, err := proof(answer, 0x80, n)
	if err != nil {
		return err
	}
	block.Decrypt(witness, witness)
	challenge := make([]byte, n)
	rand.Read(challenge)
	var inner []byte
	inner = appendTLV(inner, 0x80, witness)
	inner = appendTLV(inner, 0x81, challenge)
	answer, err = w.send(insProve, algorithm, refManage, appendTLV(nil, 0x7c, inner)...)
	if status(err) == swSecurity {
		return fmt.Errorf("%w (%w)", ErrManagementKey, err)
	}
	if err != nil {
		return err
	}
	response, err := proof(answer, 0x82, n)
	if err != nil {
		return err
	}
	block.Encrypt(challenge, challenge)
	if subtle.ConstantTimeCompare(response, challenge) != 1 {
		return fmt.Errorf("%w: the card took it, but has another itself", ErrManagementKey)
	}
	return nil
}

func managementBlock(algorithm byte, key []byte) (cipher.Block, error) {
	if algorithm == alg3DES {
		return des.NewTripleDESCipher(key)
	}
	want := map[byte]int{algAES128: 16, algAES192: 24, algAES256: 32}[algorithm]
	if len(key) != want {
		return nil, fmt.Errorf("%d bytes, expected %d for %s", len(key), want, cmp.Or(managementAlgorithms[algorithm], "an unknown algorithm"))
	}
	return aes.NewCipher(key)
}

// proof takes one block out of 7C L tag n { ... }.
func proof(answer []byte, tag byte, n int) ([]byte, error) {
	outer, _, err := readTLV(answer)
	if err == nil && outer.tag == 0x7c {
		inner, err := readTLVs(outer.value)
		if err == nil && len(inner[tag]) == n {
			return bytes.Clone(inner[tag]), nil
		}
	}
	return nil, fmt.Errorf("%w: no block of %d bytes where the management key is proven", ErrCard, n)
}

// managementAlgorithm returns that of the management key that is set.
func (w wire) managementAlgorithm(firmware Version) (byte, error) {
	if !firmware.hasMetadata() {
		return alg3DES, nil
	}
	m, err := w.metadata(refManage)
	if err != nil {
		return 0, err
	}
	if a := m[metaAlgorithm]; len(a) == 1 && managementAlgorithms[a[0]] != "" {
		return a[0], nil
	}
	return 0, fmt.Errorf("%w: no algorithm that we know of its management key", ErrCard)
}

// replaceManagementKey puts a random management key in place of the factory's.
// It is kept under the PIN before it is set, so that an end in the middle leaves
// the factory's in force, and all of this can be done again.
func (w wire) replaceManagementKey(firmware Version) error {
	algorithm, err := w.managementAlgorithm(firmware)
	if err != nil {
		return err
	}
	if err := w.prove(algorithm, factoryManagementKey()); err != nil {
		return err
	}
	next := byte(alg3DES)
	if firmware.AtLeast(5, 4) {
		next = algAES192
	}
	key := make([]byte, 24)
	defer clear(key)
	rand.Read(key)
	kept := appendTLV(nil, 0x88, appendTLV(nil, 0x89, key))
	defer clear(kept)
	if err := w.setObject(objPrinted, kept); err != nil {
		return fmt.Errorf("keep it under the PIN: %w", err)
	}
	// The note for other programs, before the key is in force: a flag too early
	// does no harm, and one that is missing has people asked for the key.
	if err := w.setAdminFlag(flagUnderPIN); err != nil {
		return fmt.Errorf("note that it is kept under the PIN: %w", err)
	}
	command := append([]byte{next, refManage, byte(len(key))}, key...)
	defer clear(command)
	if _, err := w.send(insSetManage, 0xff, 0xff, command...); err != nil {
		return fmt.Errorf("set it: %w", err)
	}
	return nil
}
