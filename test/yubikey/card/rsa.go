package card

import (
	"crypto/rand"
	"crypto/rsa"
	"math/big"
)

type rsaKey struct{ *rsa.PrivateKey }

func rsaAlgorithm(bits int) algorithm {
	return algorithm{
		generate: func() (privateKey, error) {
			key, err := rsa.GenerateKey(rand.Reader, bits)
			return rsaKey{key}, err
		},
		read: func(template map[byte][]byte) (privateKey, error) {
			p, q := new(big.Int).SetBytes(template[0x01]), new(big.Int).SetBytes(template[0x02])
			return readRSA(p, q, bits)
		},
	}
}

// readRSA makes a key from its two primes, as Yubico's IMPORT gives them; the
// public exponent is always 65537.
func readRSA(p, q *big.Int, bits int) (privateKey, error) {
	const exponent = 65537
	n := new(big.Int).Mul(p, q)
	if n.BitLen() != bits {
		return nil, StatusWrongData
	}
	one := big.NewInt(1)
	order := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	d := new(big.Int).ModInverse(big.NewInt(exponent), order)
	if d == nil {
		return nil, StatusWrongData
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: exponent}, D: d, Primes: []*big.Int{p, q}}
	key.Precompute()
	return rsaKey{key}, key.Validate()
}

func (k rsaKey) algorithm() byte {
	switch k.N.BitLen() {
	case 1024:
		return algorithmRSA1024
	case 3072:
		return algorithmRSA3072
	case 4096:
		return algorithmRSA4096
	}
	return algorithmRSA2048
}

func (k rsaKey) public() []byte {
	return append(tlv(0x81, k.N.Bytes()...), tlv(0x82, big.NewInt(int64(k.E)).Bytes()...)...)
}

// sign is the bare private operation: the host has padded the block.
func (k rsaKey) sign(block []byte) ([]byte, error) {
	m := new(big.Int).SetBytes(block)
	if len(block) != k.Size() || m.Cmp(k.N) >= 0 {
		return nil, StatusWrongData
	}
	return m.Exp(m, k.D, k.N).FillBytes(make([]byte, k.Size())), nil
}

func (k rsaKey) agree([]byte) ([]byte, error) { return nil, StatusWrongData }

func (k rsaKey) private() standardKey { return k.PrivateKey }
