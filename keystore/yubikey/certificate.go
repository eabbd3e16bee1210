package yubikey

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
)

// maxCertificate bounds a certificate that is stored compressed: a card has room
// for some 3 kB.
const maxCertificate = 32 << 10

var errCertificate = errors.New("the slot's certificate cannot be read")

// readCertificate takes the certificate out of its object: 70 L certificate,
// 71 01 00 (or 01 when it is compressed), FE 00.
func readCertificate(object []byte) (*x509.Certificate, error) {
	parts, err := readTLVs(object)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCertificate, err)
	}
	der := parts[0x70]
	if info := parts[0x71]; len(info) == 1 && info[0]&1 != 0 {
		if der, err = inflate(der); err != nil {
			return nil, fmt.Errorf("%w: %w", errCertificate, err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCertificate, err)
	}
	return cert, nil
}

func inflate(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxCertificate+1))
	if err == nil && len(raw) > maxCertificate {
		err = fmt.Errorf("more than %d bytes", maxCertificate)
	}
	return raw, err
}
