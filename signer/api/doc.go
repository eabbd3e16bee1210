// Package api is the contract of the online-key service, signet-signer: what it
// is asked, what it answers, and how errors travel. It holds the client, the
// handler and the mutual TLS between them; package signer does the work.
//
// A Client and a signer.Service have the same methods and answer alike:
// errors.Is and errors.As see tuf.ErrConflict, tuf.ErrNotFound, a *tuf.Refusal
// with its rule, a *tuf.ExpiredError, ErrBadRequest and ErrUnavailable on either
// side of the wire.
//
//	GET  /v1/identity      who the signer is, how long its signatures live
//	POST /v1/online-keys   the keys that root is to list, signed by the identity
//	POST /v1/sign          check roots and roles, sign snapshot and timestamp
//	POST /v1/refresh       sign a fresh timestamp for what was signed last
//	POST /v1/last          what was signed last, to finish a publish that died
//	GET  /readyz           200 when the signer can sign
//
// Bodies are JSON, errors RFC 9457 problems. Only TLS 1.3 with certificates of a
// private CA on both sides is spoken. Whoever holds a client certificate may ask
// for signatures, and can burn version numbers one by one, but gets none over
// anything that the repository's root and targets keys did not sign.
package api
