package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/tuf"
)

func newKeyImport(a *app) *cobra.Command {
	var choice stickChoice
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Put a private key from a PEM file into a YubiKey",
		Long: `Put a private key (PEM: PKCS#8, or SEC 1 for elliptic curves; P-256, P-384, or
Ed25519 from firmware 5.7) into a slot of a YubiKey. FILE may be -, for standard
input, so that a key that is encrypted never lies on a disk in the clear:

  openssl pkcs8 -in encrypted.pem | signet key import - --role targets

The key is marked as imported for ever: other copies of it may exist, so no
YubiKey attests it, and repositories that demand hardware refuse it. Prefer signet
key generate --yubikey and signet rotate. The same key may be imported into
several YubiKeys.`,
		Example: `  signet key import old-root.pem --role root --name old-root`,
		Args:    cobra.ExactArgs(1),
	}
	choice.add(cmd)
	a.pinFlags(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		request, err := choice.request()
		if err != nil {
			return err
		}
		defer clear(request.ManagementKey)
		private, err := a.readPrivate(args[0])
		if err != nil {
			return err
		}
		defer wipe(private)
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		if err := ring.importable(private, choice.name); err != nil {
			return err
		}
		stick, err := ring.stick(ctx, choice.serial)
		if err != nil {
			return err
		}
		if err := choice.allow(ctx, ring, &request, stick); err != nil {
			return err
		}
		if err := ring.warnFactory(ctx, stick); err != nil {
			return err
		}
		a.note("importing a key into %s", stick)
		var made yubikey.Made
		err = ring.retry(func() (err error) {
			made, err = stick.Import(ctx, request, private)
			return err
		})
		if err != nil {
			return err
		}
		made.Origin = yubikey.Imported // old firmware does not tell
		info, err := ring.note(made, stick, choice)
		if err != nil {
			return err
		}
		if args[0] != "-" {
			a.note("warning: %s still holds the private key: whoever has a copy can sign without the YubiKey; destroy those that you do not need", args[0])
		}
		a.note("the key is marked as imported for ever: no YubiKey attests it, and repositories that demand hardware refuse it")
		a.note("write down: key ID %s is in slot %s of YubiKey %d%s", info.ID, info.Slot, info.Serial, after(", role ", info.Role))
		return a.print(info, func(w io.Writer) { fmt.Fprintln(w, info.ID) })
	})
	return cmd
}

// importable refuses a name that another key has, before a slot is taken.
func (r *keyring) importable(private crypto.Signer, name string) error {
	key, err := tuf.NewKey(private.Public())
	if err != nil {
		return err
	}
	if entry, err := r.store.Find(key.ID()); err == nil && (name == "" || entry.Name == name) {
		return nil
	}
	return r.nameIsFree(name)
}

// maxPEM is more than any private key with its remarks needs.
const maxPEM = 32 << 10

// readPrivate reads a private key in the clear. Its errors quote nothing of it.
func (a *app) readPrivate(path string) (crypto.Signer, error) {
	source := io.Reader(a.stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, reading(err))
		}
		defer f.Close()
		source = f
	}
	raw, err := io.ReadAll(io.LimitReader(source, maxPEM+1))
	defer clear(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, reading(err))
	}
	if len(raw) > maxPEM {
		return nil, fmt.Errorf("%s: larger than %d bytes, no private key", path, maxPEM)
	}
	private, err := parsePrivate(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return private, nil
}

var errEncryptedPEM = errors.New("the private key is encrypted")

func parsePrivate(raw []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		defer clear(block.Bytes)
		_, legacy := block.Headers["DEK-Info"]
		var key any
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", legacy:
			return nil, advise(errEncryptedPEM, "take its encryption off on the way: openssl pkcs8 -in FILE | signet key import -")
		case block.Type == "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			return nil, errors.New("an RSA key, which signet does not sign with: expected P-256, P-384 or Ed25519")
		default: // parameters, a certificate
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the %s in it cannot be read", block.Type)
		}
		switch private := key.(type) {
		case *ecdsa.PrivateKey:
			return private, nil
		case ed25519.PrivateKey:
			return private, nil
		}
		return nil, fmt.Errorf("it holds a %T, which signet does not sign with: expected P-256, P-384 or Ed25519", key)
	}
	return nil, advise(errors.New("no private key in PEM in it"), `expected "-----BEGIN PRIVATE KEY-----" (PKCS#8) or "-----BEGIN EC PRIVATE KEY-----" (SEC 1)`)
}

// wipe overwrites a private key, as far as Go lets us.
func wipe(key crypto.Signer) {
	switch private := key.(type) {
	case *ecdsa.PrivateKey:
		//lint:ignore SA1019 it is overwritten here, never used again
		clear(private.D.Bits())
	case ed25519.PrivateKey:
		clear(private)
	}
}
