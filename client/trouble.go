package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/signet-trust/signet/tuf"
)

// A Trouble names what is wrong with a server, for those who give hints.
type Trouble string

// The troubles.
const (
	TroubleAddress     Trouble = "address"             // the address cannot be used
	TroubleNoRoute     Trouble = "no-route"            // no such host, no route, nobody listens
	TroubleTimeout     Trouble = "timeout"             // no answer in time, or too slow
	TroubleBroken      Trouble = "broken"              // the connection broke off
	TroubleCA          Trouble = "ca"                  // its certificate is vouched for by nobody we trust
	TroubleCertExpired Trouble = "certificate-expired" // or not valid yet: either its certificate or our clock is wrong
	TroubleCertName    Trouble = "certificate-name"    // its certificate is for another name
	TroubleTLS         Trouble = "tls"                 // no TLS could be agreed on
	TroubleRedirect    Trouble = "redirect"            // it answered with a redirect, which is not followed
	TroubleEncoding    Trouble = "encoding"            // it answered with an encoding that was not asked for
	TroubleStatus      Trouble = "status"              // it answered with another status than expected
	TroubleNotFound    Trouble = "not-found"           // it has no such file
	TroubleAnswer      Trouble = "answer"              // its answer makes no sense
)

// A ServerError says that one server could not be asked, or did not answer with
// what was asked for. It is no verdict.
type ServerError struct {
	Server  string // base address
	Trouble Trouble
	Detail  string // one sentence's end: "nobody listens there"
	Err     error  // what is below, or nil
}

// Error names the server and says what is wrong with it. What the server said of
// itself is shortened, and freed of what cannot be seen.
func (e *ServerError) Error() string { return e.Server + ": " + tidy(e.Detail, maxReason) }

// Unwrap returns what is below; tuf.ErrNotFound for a missing file.
func (e *ServerError) Unwrap() []error {
	var list []error
	if e.Err != nil {
		list = append(list, e.Err)
	}
	if e.Trouble == TroubleNotFound {
		list = append(list, tuf.ErrNotFound)
	}
	return list
}

// Explain turns what net/http returned about a server into a *ServerError in
// words. Verdicts, and a caller's own wish to stop, stay what they are.
func Explain(server string, err error) error {
	if err == nil || tuf.IsRefusal(err) {
		return err
	}
	if _, ok := errors.AsType[*ServerError](err); ok {
		return err
	}
	e := &ServerError{Server: server, Err: err}
	authority, isAuthority := errors.AsType[x509.UnknownAuthorityError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	name, isName := errors.AsType[x509.HostnameError](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		return err // the caller's own wish
	case isAuthority:
		e.Trouble = TroubleCA
		e.Detail = "its certificate is signed by an authority that is not trusted here"
		if authority.Cert != nil {
			e.Detail += fmt.Sprintf(" (issuer %q)", authority.Cert.Issuer)
		}
	case isInvalid && invalid.Reason == x509.Expired:
		e.Trouble = TroubleCertExpired
		e.Detail = fmt.Sprintf("its certificate is valid from %s to %s only; the certificate, or the clock of this machine, is wrong",
			invalid.Cert.NotBefore.UTC().Format(dateFormat), invalid.Cert.NotAfter.UTC().Format(dateFormat))
	case isInvalid:
		e.Trouble, e.Detail = TroubleCA, "its certificate is not acceptable: "+invalid.Error()
	case isName:
		e.Trouble, e.Detail = TroubleCertName, fmt.Sprintf("its certificate is for another name than %s", name.Host)
	case isDNS && dns.IsNotFound:
		e.Trouble, e.Detail = TroubleNoRoute, fmt.Sprintf("no such host: %s", dns.Name)
	case isDNS:
		e.Trouble, e.Detail = TroubleNoRoute, fmt.Sprintf("the name %s could not be looked up: %s", dns.Name, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Trouble, e.Detail = TroubleNoRoute, "nobody listens there (connection refused)"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		e.Trouble, e.Detail = TroubleNoRoute, "no route to it"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isNet && timeout.Timeout():
		e.Trouble, e.Detail = TroubleTimeout, "no answer in time"
	case isTLS(err):
		e.Trouble, e.Detail = TroubleTLS, "no TLS connection: "+err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Trouble, e.Detail = TroubleBroken, "the connection broke off"
	default:
		e.Trouble, e.Detail = TroubleBroken, err.Error()
	}
	return e
}

const dateFormat = "2006-01-02 15:04"
