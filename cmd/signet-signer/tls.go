package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
)

// What the tls command makes, and serve looks for, in a folder.
const (
	tlsFolder      = "tls"                    // in the data folder
	caFile         = "signer-ca.pem"          // for both sides
	caKeyFile      = "signer-ca-key.pem"      // makes certificates; keep it elsewhere
	certFile       = "signer-cert.pem"        // the signer's
	keyFile        = "signer-key.pem"         //
	clientCertFile = "signer-client-cert.pem" // the server's, to show to the signer
	clientKeyFile  = "signer-client-key.pem"  //
)

const (
	caLife     = 10 * 365 * 24 * time.Hour
	certLife   = 2 * 365 * 24 * time.Hour
	soon       = 30 * 24 * time.Hour // before an expiry is told
	clockSlack = time.Hour
)

func newTLS(o *options) *cobra.Command {
	var hosts []string
	var renew bool
	cmd := &cobra.Command{
		Use:   "tls [FOLDER]",
		Short: "Make a private CA, and certificates for the signer and the server",
		Long: `Tls makes a private CA and two certificates by it: the signer's, and the one that
the metadata server shows to the signer. FOLDER is tls in the data folder by default.

  signer-ca.pem                                  for both sides
  signer-cert.pem, signer-key.pem                for the signer
  signer-client-cert.pem, signer-client-key.pem  for the server (--signer-cert, --signer-key)
  signer-ca-key.pem                              for --renew only: keep it elsewhere

Whoever has the CA's key can ask the signer for signatures. With --renew the CA in
FOLDER makes both certificates anew; running processes take them up by themselves.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return program.UsageError{Err: errors.New("expected at most one argument, the folder")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			folder := filepath.Join(o.data, tlsFolder)
			if len(args) == 1 {
				folder = args[0]
			}
			expires, err := makeTLS(folder, hosts, renew, time.Now())
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), map[string]any{"folder": folder, "expires": expires},
				fmt.Sprintf("%s: certificates until %s\n", folder, expires.Format(time.DateOnly)))
		},
	}
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "`name` or address that the server calls the signer by, besides localhost; may be repeated")
	cmd.Flags().BoolVar(&renew, "renew", false, "make both certificates anew, by the CA that is there")
	return cmd
}

// An authority is the private CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// makeTLS fills folder and returns when the certificates expire.
func makeTLS(folder string, hosts []string, renew bool, now time.Time) (time.Time, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return time.Time{}, err
	}
	var ca *authority
	var err error
	if renew {
		ca, err = readCA(folder)
	} else {
		ca, err = newCA(folder, now)
	}
	if err != nil {
		return time.Time{}, err
	}
	signer := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "signet-signer"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			signer.IPAddresses = append(signer.IPAddresses, ip)
		} else {
			signer.DNSNames = append(signer.DNSNames, host)
		}
	}
	server := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "signet-server"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	expires := now.Add(certLife).UTC().Truncate(time.Second)
	if ca.cert.NotAfter.Before(expires) {
		expires = ca.cert.NotAfter
	}
	return expires, errors.Join(
		ca.issue(signer, folder, certFile, keyFile, now, expires),
		ca.issue(server, folder, clientCertFile, clientKeyFile, now, expires))
}

// newCA makes a CA in a folder that has none.
func newCA(folder string, now time.Time) (*authority, error) {
	for _, name := range []string{caFile, caKeyFile, certFile, keyFile, clientCertFile, clientKeyFile} {
		if _, err := os.Lstat(filepath.Join(folder, name)); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is there already; --renew makes the certificates anew", filepath.Join(folder, name))
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Signet signer CA"},
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SerialNumber:          serial(),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, writePair(folder, caFile, caKeyFile, der, key)
}

// readCA reads the CA that newCA made.
func readCA(folder string) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, caFile), filepath.Join(folder, caKeyFile))
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is not a CA that this command made", filepath.Join(folder, caFile))
	}
	return &authority{pair.Leaf, key}, nil
}

// issue makes a key and a certificate for it.
func (a *authority) issue(template *x509.Certificate, folder, certName, keyName string, now, expires time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template.NotBefore, template.NotAfter = now.Add(-clockSlack), expires
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	template.SerialNumber = serial()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	return writePair(folder, certName, keyName, der, key)
}

func writePair(folder, certName, keyName string, der []byte, key *ecdsa.PrivateKey) error {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	defer clear(private)
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	defer clear(text)
	return errors.Join(
		program.WriteFile(filepath.Join(folder, keyName), text, 0o600),
		program.WriteFile(filepath.Join(folder, certName), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
}

// serial returns a random serial number of 128 bits.
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f // positive in 16 bytes
	return new(big.Int).SetBytes(b)
}

// warnOfExpiry logs a certificate that expires soon, or has.
func warnOfExpiry(path string, now time.Time, log *slog.Logger) {
	data, err := os.ReadFile(path)
	if err != nil {
		return // whoever serves with it says so
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err == nil && cert.NotAfter.Before(now.Add(soon)) {
		log.Warn("the certificate expires; signet-signer tls --renew makes a new one", "file", path, "expires", cert.NotAfter.UTC())
	}
}
