package card

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
)

// A privateKey is a key of one of the card's algorithms.
type privateKey interface {
	algorithm() byte
	// public is the public key in the form of GENERATE and METADATA.
	public() []byte
	// sign takes what the host sends as challenge: a digest, a padded block or,
	// with Ed25519, the message.
	sign(challenge []byte) ([]byte, error)
	// agree makes the secret that is shared with the owner of peer.
	agree(peer []byte) ([]byte, error)
	// private is the key as Go's standard library knows it.
	private() standardKey
}

// A standardKey is what all private keys of the standard library are.
type standardKey interface{ Public() crypto.PublicKey }

// An algorithm makes and reads keys.
type algorithm struct {
	generate func() (privateKey, error)
	// read makes a key from the objects of IMPORT.
	read func(template map[byte][]byte) (privateKey, error)
}

const (
	algorithmRSA1024 = 0x06
	algorithmRSA2048 = 0x07
	algorithmRSA3072 = 0x05
	algorithmRSA4096 = 0x16
	algorithmP256    = 0x11
	algorithmP384    = 0x14
	algorithmEd25519 = 0xE0
	algorithmX25519  = 0xE1
)

func (c *Card) algorithm(id byte) (algorithm, error) {
	switch id {
	case algorithmP256:
		return ecdsaAlgorithm(elliptic.P256()), nil
	case algorithmP384:
		return ecdsaAlgorithm(elliptic.P384()), nil
	case algorithmRSA1024:
		return rsaAlgorithm(1024), nil
	case algorithmRSA2048:
		return rsaAlgorithm(2048), nil
	}
	if c.firmware.has57() {
		switch id {
		case algorithmRSA3072:
			return rsaAlgorithm(3072), nil
		case algorithmRSA4096:
			return rsaAlgorithm(4096), nil
		case algorithmEd25519:
			return ed25519Algorithm(), nil
		case algorithmX25519:
			return x25519Algorithm(), nil
		}
	}
	return algorithm{}, StatusWrongData
}

// parsePrivateKey reads PKCS #8, the form on disk.
func parsePrivateKey(der []byte) (privateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	return wrap(key)
}

// wrap takes a key of the standard library for one of the card's.
func wrap(key any) (privateKey, error) {
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		return ecdsaKey{key}, nil
	case ed25519.PrivateKey:
		return ed25519Key{key}, nil
	case *ecdh.PrivateKey:
		return x25519Key{key}, nil
	case *rsa.PrivateKey:
		return rsaKey{key}, nil
	}
	return nil, StatusWrongData
}

type ecdsaKey struct{ *ecdsa.PrivateKey }

func ecdsaAlgorithm(curve elliptic.Curve) algorithm {
	return algorithm{
		generate: func() (privateKey, error) {
			key, err := ecdsa.GenerateKey(curve, rand.Reader)
			return ecdsaKey{key}, err
		},
		read: func(template map[byte][]byte) (privateKey, error) {
			key, err := ecdsa.ParseRawPrivateKey(curve, template[0x06])
			return ecdsaKey{key}, err
		},
	}
}

func (k ecdsaKey) algorithm() byte {
	if k.Curve == elliptic.P384() {
		return algorithmP384
	}
	return algorithmP256
}

func (k ecdsaKey) public() []byte {
	point, err := k.PublicKey.Bytes()
	if err != nil {
		return nil // a key that was made or read is on its curve
	}
	return tlv(0x86, point...)
}

func (k ecdsaKey) sign(digest []byte) ([]byte, error) {
	if len(digest) == 0 || len(digest) > k.Curve.Params().BitSize/8 {
		return nil, StatusWrongData
	}
	return ecdsa.SignASN1(rand.Reader, k.PrivateKey, digest)
}

func (k ecdsaKey) agree(peer []byte) ([]byte, error) {
	mine, err := k.ECDH()
	if err != nil {
		return nil, StatusTrouble
	}
	return agree(mine, peer)
}

func (k ecdsaKey) private() standardKey { return k.PrivateKey }

func agree(mine *ecdh.PrivateKey, peer []byte) ([]byte, error) {
	point, err := mine.Curve().NewPublicKey(peer)
	if err != nil {
		return nil, StatusWrongData
	}
	shared, err := mine.ECDH(point)
	if err != nil {
		return nil, StatusWrongData
	}
	return shared, nil
}

type ed25519Key struct{ key ed25519.PrivateKey }

func ed25519Algorithm() algorithm {
	return algorithm{
		generate: func() (privateKey, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return ed25519Key{key}, err
		},
		read: func(template map[byte][]byte) (privateKey, error) {
			seed := template[0x07]
			if len(seed) != ed25519.SeedSize {
				return nil, StatusWrongData
			}
			return ed25519Key{ed25519.NewKeyFromSeed(seed)}, nil
		},
	}
}

func (k ed25519Key) algorithm() byte { return algorithmEd25519 }

func (k ed25519Key) public() []byte {
	return tlv(0x86, k.key[ed25519.SeedSize:]...) // the second half of a private key
}

func (k ed25519Key) sign(message []byte) ([]byte, error) {
	return ed25519.Sign(k.key, message), nil
}

func (k ed25519Key) agree([]byte) ([]byte, error) { return nil, StatusWrongData }

func (k ed25519Key) private() standardKey { return k.key }

type x25519Key struct{ *ecdh.PrivateKey }

func x25519Algorithm() algorithm {
	return algorithm{
		generate: func() (privateKey, error) {
			key, err := ecdh.X25519().GenerateKey(rand.Reader)
			return x25519Key{key}, err
		},
		read: func(template map[byte][]byte) (privateKey, error) {
			key, err := ecdh.X25519().NewPrivateKey(template[0x08])
			return x25519Key{key}, err
		},
	}
}

func (k x25519Key) algorithm() byte { return algorithmX25519 }

func (k x25519Key) public() []byte { return tlv(0x86, k.PublicKey().Bytes()...) }

func (k x25519Key) sign([]byte) ([]byte, error) { return nil, StatusWrongData }

func (k x25519Key) agree(peer []byte) ([]byte, error) { return agree(k.PrivateKey, peer) }

func (k x25519Key) private() standardKey { return k.PrivateKey }
