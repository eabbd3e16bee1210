// Package program is what the services, signet-server, signet-signer and signet-guard, have
// in common as programs: how they end, where their options come from, how they log
// and are asked whether they live.
//
//	program.go   exit status, usage errors, version
//	hint.go      what to do about an error at the start; errors in a log of JSON
//	options.go   a flag goes before the environment, that before the file
//	file.go      the configuration file: what nobody knows is refused, with its line
//	duration.go  90d, 12h, 30s
//	service.go   logger, health check, ready file
//	tls.go       a certificate that is replaced while it is served; files that hold secrets
//	memory_*.go  no core dumps
package program
