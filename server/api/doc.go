// Package api is the contract between the metadata server and those who call
// it: paths, requests and answers, limits, and one table that maps errors to
// problems (RFC 9457) on the server and back to errors on the client, so that
// errors.Is gives the same answer on both sides. It does no I/O.
//
//	GET|HEAD /tuf/{repository}/{file}       a metadata file, for any TUF client, mirror or CDN
//	GET  /v1/server?repository=             version, signer's identity, limits
//	GET  /v1/token                          what the caller's token may do
//	POST /v1/publish/{repository}           new root, targets and signers' files
//	POST /v1/online-keys/{repository}       the signer's snapshot and timestamp keys
//	GET|POST /v1/proposals/{repository}     what waits for signatures; propose a publish
//	GET|POST|DELETE /v1/proposals/{repository}?id=  read, sign or withdraw one proposal
//	GET  /v1/repositories?after=&limit=     a page of the repositories that the token covers
//	GET  /v1/repositories/{repository}      current versions of one
//	GET  /v1/history/{repository}?after=&content=&limit=  a page of what was published to one
//	GET  /v1/expiring?before=&after=&limit=  a page of what expires soon, in all that the token covers
//
// docs/openapi.yaml describes the same for people and generators; a test holds
// the server to both. Nothing that arrives in these types is trusted for having
// arrived: metadata is checked with package tuf, online keys with
// [OnlineKey.Verify].
package api
