package tuf

import "unicode/utf8"

// knownMembers are the names that the parser gives a meaning to. Written with
// other letter cases they are refused, wherever they stand but in `custom`.
var knownMembers = map[string]bool{
	"signed": true, "signatures": true, "keyid": true, "sig": true,
	"_type": true, "spec_version": true, "consistent_snapshot": true, "version": true, "expires": true,
	"keys": true, "roles": true, "keyids": true, "threshold": true,
	"keytype": true, "scheme": true, "keyval": true, "public": true,
	"meta": true, "length": true, "hashes": true,
	"targets": true, "custom": true, "delegations": true,
	"name": true, "terminating": true, "paths": true, "path_hash_prefixes": true,
	"succinct_roles": true, "bit_length": true, "name_prefix": true,
}

func validUTF8(data []byte) bool { return utf8.Valid(data) }
