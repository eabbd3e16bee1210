package door

import (
	"net"
	"net/http"
)

// Who names who sends a request: the common name of its certificate where one was
// shown and verified, or else its address; "unix" through a socket. Headers that a
// client could set are not believed.
func Who(r *http.Request) string {
	if Certified(r) {
		return "CN=" + Clean(r.TLS.PeerCertificates[0].Subject.CommonName)
	}
	if UnixSocket(r) {
		return "unix"
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return Clean(r.RemoteAddr)
}

// Certified tells whether a client's certificate was shown and verified.
func Certified(r *http.Request) bool { return r.TLS != nil && len(r.TLS.VerifiedChains) > 0 }

// UnixSocket tells whether a request came through a socket of this machine, whose
// mode says who may.
func UnixSocket(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix"
}
