package tuf_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// Plain files of each type, with nothing wrong but that nobody signed them.
const (
	keyA = `"a1":{"keytype":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"},"scheme":"ed25519"}`

	plainRoot = `{"signatures":[{"keyid":"a1","sig":"00"}],"signed":{"_type":"root","consistent_snapshot":true,"expires":"2030-01-02T03:04:05Z","keys":{` + keyA + `},` +
		`"roles":{"root":{"keyids":["a1"],"threshold":1},"snapshot":{"keyids":["a1"],"threshold":1},"targets":{"keyids":["a1"],"threshold":1},"timestamp":{"keyids":["a1"],"threshold":1}},"spec_version":"1.0.34","version":1}}`
	plainTargets = `{"signatures":[],"signed":{"_type":"targets","delegations":{"keys":{` + keyA + `},"roles":[{"keyids":["a1"],"name":"alice","paths":["a/*"],"terminating":false,"threshold":1}]},` +
		`"expires":"2030-01-02T03:04:05Z","spec_version":"1.0.34","targets":{"x":{"custom":{"who":"bob"},"hashes":{"sha256":"ab12"},"length":3}},"version":1}}`
	plainSnapshot  = `{"signatures":[],"signed":{"_type":"snapshot","expires":"2030-01-02T03:04:05Z","meta":{"targets.json":{"hashes":{"sha256":"ab12"},"length":3,"version":1}},"spec_version":"1.0.34","version":1}}`
	plainTimestamp = `{"signatures":[],"signed":{"_type":"timestamp","expires":"2030-01-02T03:04:05Z","meta":{"snapshot.json":{"version":1}},"spec_version":"1.0.34","version":1}}`
)

// read reads data as a file of the given type.
func read(kind string, data []byte) error {
	var err error
	switch kind {
	case tuf.RoleRoot:
		_, err = tuf.ReadRoot(data)
	case tuf.RoleTargets:
		_, err = tuf.ReadTargets(data)
	case tuf.RoleSnapshot:
		_, err = tuf.ReadSnapshot(data)
	case tuf.RoleTimestamp:
		_, err = tuf.ReadTimestamp(data)
	}
	return err
}

var plain = map[string]string{tuf.RoleRoot: plainRoot, tuf.RoleTargets: plainTargets, tuf.RoleSnapshot: plainSnapshot, tuf.RoleTimestamp: plainTimestamp}

func TestPlainFilesAreRead(t *testing.T) {
	for kind, data := range plain {
		if err := read(kind, []byte(data)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for other := range plain {
			if other != kind {
				wantRule(t, read(other, []byte(data)), tuf.RuleShape)
			}
		}
	}
}

// swap is one change to a plain file.
type swap struct {
	claim, kind, old, new string
}

// apply makes the change, which must change something.
func (s swap) apply(t *testing.T) []byte {
	t.Helper()
	if !strings.Contains(plain[s.kind], s.old) {
		t.Fatalf("%s: the plain %s has no %s", s.claim, s.kind, s.old)
	}
	return []byte(strings.Replace(plain[s.kind], s.old, s.new, 1))
}

func TestShapeRefuses(t *testing.T) {
	const (
		entry      = `{"custom":{"who":"bob"},"hashes":{"sha256":"ab12"},"length":3}`
		role       = `{"keyids":["a1"],"name":"alice","paths":["a/*"],"terminating":false,"threshold":1}`
		delegation = `"roles":[` + role + `]`
		expires    = `"expires":"2030-01-02T03:04:05Z"`
		meta       = `{"hashes":{"sha256":"ab12"},"length":3,"version":1}`
	)
	for _, c := range []swap{
		// Inputs on which the parser below would panic.
		{"null target", "targets", entry, `null`},
		{"null targets", "targets", `{"x":` + entry + `}`, `null`},
		{"null roles", "root", `"roles":{`, `"roles":null,"x":{`},
		{"null role", "root", `"root":{"keyids":["a1"],"threshold":1}`, `"root":null`},
		{"null keys", "root", `"keys":{` + keyA + `}`, `"keys":null`},
		{"null key", "root", keyA, `"a1":null`},
		{"null keyval", "root", `"keyval":{"public"`, `"keyval":null,"x":{"public"`},
		{"null keyids", "root", `{"keyids":["a1"]`, `{"keyids":null`},
		{"null key ID", "root", `["a1"]`, `[null]`},
		{"null snapshot entry", "snapshot", meta, `null`},
		{"null timestamp entry", "timestamp", `{"version":1}`, `null`},
		{"timestamp without snapshot.json", "timestamp", `"snapshot.json"`, `"snapshot.jsom"`},
		{"timestamp with an empty meta", "timestamp", `{"snapshot.json":{"version":1}}`, `{}`},
		{"snapshot without targets.json", "snapshot", `"targets.json"`, `"target.json"`},
		{"null delegated roles", "targets", delegation, `"roles":null`},
		{"null delegated role", "targets", role, `null`},
		{"null delegation keys", "targets", keyA, `"a1":null`},
		{"null delegations", "targets", `"delegations":{`, `"delegations":null,"x":{`},
		{"null succinct_roles", "targets", delegation, `"succinct_roles":null`},
		{"null signatures", "targets", `"signatures":[]`, `"signatures":null`},
		{"null signature", "targets", `"signatures":[]`, `"signatures":[null]`},
		{"null signed", "targets", `"signed":{`, `"signed":null,"x":{`},
		{"null custom", "targets", `{"who":"bob"}`, `null`},

		// Two readers could see two documents.
		{"member twice", "targets", `"version":1`, `"version":1,"version":2`},
		{"member twice, once escaped", "targets", `"version":1`, `"version":1,"\u0076ersion":2`},
		{"target twice", "targets", `"x":` + entry, `"x":` + entry + `,"x":` + entry},
		{"key twice", "root", keyA, keyA + `,` + keyA},
		{"member of custom twice", "targets", `{"who":"bob"}`, `{"who":"bob","who":"eve"}`},
		{"other letter case", "targets", `"version":1`, `"Version":1`},
		{"other letter case beside", "targets", `"version":1`, `"version":1,"VERSION":2`},
		{"long s folds to s", "targets", `"version":1`, `"version":1,"verſion":2`},
		{"Kelvin sign folds to k", "root", `"keys":{`, `"` + "\u212a" + `eys":{},"keys":{`},
		{"escaped long s", "targets", `"signatures":[]`, `"signatures":[],"\u017fignatures":[]`},
		{"other case inside a key", "root", `"scheme":"ed25519"`, `"scheme":"ed25519","Scheme":"rsa"`},
		{"other case inside a role", "root", `"threshold":1`, `"threshold":1,"Threshold":2`},
		{"other case inside a target", "targets", `"length":3`, `"length":3,"Length":4`},
		{"other case inside a target called targets", "targets", `"x":` + entry, `"targets":{"Length":4,"hashes":{"sha256":"ab12"},"length":3}`},
		{"other case inside an entry called meta", "snapshot", `"targets.json":` + meta, `"targets.json":` + meta + `,"meta":{"version":1,"Version":2}`},
		{"other case inside a key called keys", "root", keyA, keyA + `,"keys":{"keytype":"a","keyval":{"public":""},"scheme":"b","KeyType":"c"}`},
		{"other case inside a signature", "root", `"sig":"00"`, `"sig":"00","SIG":"01"`},

		// Numbers.
		{"version as a float", "targets", `"version":1`, `"version":1.0`},
		{"version with an exponent", "targets", `"version":1`, `"version":1e0`},
		{"version above 64 bits", "targets", `"version":1`, `"version":9223372036854775808`},
		{"version far above 64 bits", "targets", `"version":1`, `"version":1` + strings.Repeat("0", 400)},
		{"version as a string", "targets", `"version":1`, `"version":"1"`},
		{"version 0", "targets", `"version":1`, `"version":0`},
		{"negative version", "targets", `"version":1`, `"version":-1`},
		{"negative zero version", "targets", `"version":1`, `"version":-0`},
		{"leading zero", "targets", `"version":1`, `"version":01`},
		{"no version", "targets", `,"version":1`, ``},
		{"version 0 in meta", "snapshot", `"length":3,"version":1`, `"length":3,"version":0`},
		{"no version in meta", "snapshot", `"length":3,"version":1`, `"length":3`},
		{"negative length", "targets", `"length":3`, `"length":-3`},
		{"no length", "targets", `,"length":3`, ``},
		{"float in custom", "targets", `"bob"`, `1.5`},
		{"threshold 0", "root", `"threshold":1`, `"threshold":0`},
		{"negative threshold", "root", `"threshold":1`, `"threshold":-1`},
		{"no threshold", "root", `,"threshold":1`, ``},
		{"threshold 0 of a delegation", "targets", `"threshold":1`, `"threshold":0`},

		// Headers.
		{"another type", "targets", `"_type":"targets"`, `"_type":"root"`},
		{"type in another case", "targets", `"_type":"targets"`, `"_type":"Targets"`},
		{"no type", "targets", `"_type":"targets",`, ``},
		{"spec_version 2", "targets", `"1.0.34"`, `"2.0.0"`},
		{"spec_version 0", "targets", `"1.0.34"`, `"0.9"`},
		{"spec_version 10", "targets", `"1.0.34"`, `"10.0.0"`},
		{"spec_version 1 alone", "targets", `"1.0.34"`, `"1"`},
		{"spec_version with more behind", "targets", `"1.0.34"`, `"1.0.34-x"`},
		{"no spec_version", "targets", `"spec_version":"1.0.34",`, ``},
		{"expires with a zone", "targets", expires, `"expires":"2030-01-02T03:04:05+00:00"`},
		{"expires in another zone", "targets", expires, `"expires":"2030-01-02T03:04:05-08:00"`},
		{"expires with a fraction", "targets", expires, `"expires":"2030-01-02T03:04:05.0Z"`},
		{"expires with a comma fraction", "targets", expires, `"expires":"2030-01-02T03:04:05,5Z"`},
		{"expires with a short hour", "targets", expires, `"expires":"2030-01-02T3:04:05Z"`},
		{"expires in small letters", "targets", expires, `"expires":"2030-01-02t03:04:05z"`},
		{"expires on no day", "targets", expires, `"expires":"2030-02-30T03:04:05Z"`},
		{"expires in year 9999", "targets", expires, `"expires":"9999-12-31T23:59:59Z"`},
		{"expires in year 10000", "targets", expires, `"expires":"10000-01-01T00:00:00Z"`},
		{"expires as a number", "targets", expires, `"expires":1893553445`},
		{"no expires", "targets", expires + `,`, ``},

		// Keys, signatures, hashes.
		{"keyids listed twice", "root", `["a1"]`, `["a1","a1"]`},
		{"keyids of a delegation listed twice", "targets", `["a1"]`, `["a1","a1"]`},
		{"keyid with a slash", "root", `"a1":{`, `"a/1":{`},
		{"empty keyid", "root", `"a1":{`, `"":{`},
		{"key without scheme", "root", `,"scheme":"ed25519"`, ``},
		{"key without type", "root", `"keytype":"ed25519",`, ``},
		{"key as a string", "root", `{"keytype":"ed25519",`, `"key","b":{"keytype":"ed25519",`},
		{"signature that is not hex", "root", `"sig":"00"`, `"sig":"zz"`},
		{"signature of half a byte", "root", `"sig":"00"`, `"sig":"000"`},
		{"signature without keyid", "root", `"keyid":"a1",`, ``},
		{"signature without sig", "root", `,"sig":"00"`, ``},
		{"one keyid signs twice", "root", `{"keyid":"a1","sig":"00"}`, `{"keyid":"a1","sig":"00"},{"keyid":"a1","sig":"01"}`},
		{"hash in capitals", "targets", `"ab12"`, `"AB12"`},
		{"hash that is not hex", "targets", `"ab12"`, `"xy"`},
		{"empty hash", "targets", `"ab12"`, `""`},
		{"no hashes", "targets", `"hashes":{"sha256":"ab12"},`, ``},
		{"empty hashes", "targets", `{"sha256":"ab12"}`, `{}`},
		{"empty hashes in meta", "snapshot", `{"sha256":"ab12"}`, `{}`},

		// Roles.
		{"root without the role timestamp", "root", `,"timestamp":{"keyids":["a1"],"threshold":1}`, ``},
		{"root with a role of its own", "root", `"timestamp":{"keyids"`, `"alice":{"keyids":["a1"],"threshold":1},"timestamp":{"keyids"`},
		{"delegated role called root", "targets", `"alice"`, `"root"`},
		{"delegated role without name", "targets", `"name":"alice",`, ``},
		{"delegated role with an empty name", "targets", `"alice"`, `""`},
		{"delegated role with a line end in its name", "targets", `"alice"`, `"al\nice"`},
		{"delegated role with a name of 257", "targets", `"alice"`, `"` + strings.Repeat("a", 257) + `"`},
		{"delegated role twice", "targets", role, role + `,` + role},
		{"delegation without terminating", "targets", `"terminating":false,`, ``},
		{"delegation without paths", "targets", `"paths":["a/*"],`, ``},
		{"paths and path_hash_prefixes", "targets", `"paths":["a/*"]`, `"paths":["a/*"],"path_hash_prefixes":["00"]`},
		{"roles and succinct_roles", "targets", delegation, delegation + `,"succinct_roles":{"keyids":["a1"],"threshold":1,"bit_length":8,"name_prefix":"bins"}`},
		{"neither roles nor succinct_roles", "targets", `,` + delegation, ``},
		{"33 bits of bins", "targets", delegation, `"succinct_roles":{"keyids":["a1"],"threshold":1,"bit_length":33,"name_prefix":"bins"}`},
		{"no bits of bins", "targets", delegation, `"succinct_roles":{"keyids":["a1"],"threshold":1,"bit_length":0,"name_prefix":"bins"}`},
		{"bins without a name", "targets", delegation, `"succinct_roles":{"keyids":["a1"],"threshold":1,"bit_length":8}`},
		{"consistent_snapshot as a string", "root", `"consistent_snapshot":true`, `"consistent_snapshot":"true"`},

		// Other types than those that are due.
		{"signed as an array", "timestamp", `"signed":{`, `"signed":[],"x":{`},
		{"signatures as an object", "timestamp", `"signatures":[]`, `"signatures":{}`},
		{"no signatures", "timestamp", `"signatures":[],`, ``},
		{"meta as an array", "timestamp", `{"snapshot.json":{"version":1}}`, `[]`},
		{"targets as an array", "targets", `"targets":{"x":` + entry + `}`, `"targets":[]`},
		{"delegated roles as an object", "targets", delegation, `"roles":{"alice":{}}`},
	} {
		t.Run(c.claim, func(t *testing.T) {
			wantRule(t, read(c.kind, c.apply(t)), tuf.RuleShape)
		})
	}
}

// §4.1: members that nobody knows belong to the publisher, and are signed.
func TestShapeLetsThePublishersOwnMembersStand(t *testing.T) {
	for _, c := range []swap{
		{"unknown member", "root", `"version":1`, `"version":1,"x-note":"hi"`},
		{"null in an unknown member", "root", `"version":1`, `"version":1,"x-note":null`},
		{"any names in an unknown member", "root", `"version":1`, `"version":1,"x-note":{"Version":null,"KEYS":[null,{"Name":1}]}`},
		{"unknown member of a key", "root", `"scheme":"ed25519"`, `"scheme":"ed25519","keyid_hash_algorithms":["sha256"]`},
		{"unknown member beside signed", "root", `"signed":`, `"x":{"Signed":1},"signed":`},
		{"any names and null in custom", "targets", `"who":"bob"`, `"Length":null,"custom":null,"targets":{"x":null}`},
		{"target called keys", "targets", `"x":{`, `"keys":{`},
		{"target called Version", "targets", `"x":{`, `"Version":{`},
		{"target called custom", "targets", `"x":{`, `"custom":{`},
		{"empty target", "targets", `"length":3`, `"length":0`},
		{"no consistent_snapshot", "root", `"consistent_snapshot":true,`, ``},
		{"key of an unknown kind", "root", keyA, keyA + `,"b2":{"keytype":"sphinx","scheme":"sphinx","keyval":{"public":""}}`},
		{"key of one byte", "root", keyA, keyA + `,"b2":{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}}`},
		{"key without value", "root", keyA, keyA + `,"b2":{"keytype":"ed25519","scheme":"ed25519","keyval":{}}`},
		{"signature in capitals", "root", `"sig":"00"`, `"sig":"AB"`},
		{"empty signature", "root", `"sig":"00"`, `"sig":""`},
		{"mirrors", "root", `"timestamp":{"keyids"`, `"mirrors":{"keyids":[],"threshold":1},"timestamp":{"keyids"`},
		{"an older minor version", "root", `1.0.34`, `1.0`},
		{"a newer minor version", "root", `1.0.34`, `1.23.4`},
		{"spaces and line ends", "root", `"signed":`, " \t\r\n\"signed\" : \n"},
		{"paths of no role", "targets", `["a/*"]`, `[]`},
		{"hash bins", "targets", `"paths":["a/*"]`, `"path_hash_prefixes":["0","1f"]`},
	} {
		t.Run(c.claim, func(t *testing.T) {
			if err := read(c.kind, c.apply(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestShapeRefusesWhatIsNoDocument(t *testing.T) {
	for claim, data := range map[string]string{
		"nothing":                   "",
		"spaces":                    " \n\t",
		"byte order mark":           "\xef\xbb\xbf" + plainTimestamp,
		"UTF-16":                    "\xff\xfe{\x00",
		"invalid UTF-8 in a string": strings.Replace(plainTimestamp, "snapshot.json\":", "snapshot.json\":{\"version\":1},\"\xff\":", 1),
		"NUL in front":              "\x00" + plainTimestamp,
		"a second document":         plainTimestamp + plainTimestamp,
		"a brace behind":            plainTimestamp + "}",
		"a comma behind":            plainTimestamp + ",",
		"a comma too many":          strings.Replace(plainTimestamp, `[]`, `[],`, 1),
		"a comment":                 "// hello\n" + plainTimestamp,
		"an array":                  "[" + plainTimestamp + "]",
		"a string":                  `"timestamp"`,
		"a number":                  "1",
		"null":                      "null",
		"true":                      "true",
		"an HTML page":              "<!DOCTYPE html><title>502</title>",
		"single quotes":             strings.ReplaceAll(plainTimestamp, `"`, `'`),
	} {
		t.Run(claim, func(t *testing.T) {
			for kind := range plain {
				wantRule(t, read(kind, []byte(data)), tuf.RuleShape)
			}
		})
	}
}

func TestShapeRefusesAFileThatIsCutAnywhere(t *testing.T) {
	for kind, data := range plain {
		for i := range data {
			if err := read(kind, []byte(data[:i])); !errors.Is(err, tuf.RuleShape) {
				t.Fatalf("%s cut after %d bytes: %v", kind, i, err)
			}
		}
	}
}

func TestShapeLimits(t *testing.T) {
	limits := tuf.Limits{Bytes: 1 << 16, Members: 300, Keys: 3, Signatures: 2, Delegations: 2, Targets: 5, Depth: 12}
	many := func(n int, format string) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(format, i))
		}
		return strings.Join(list, ",")
	}
	w := newWorld(t)
	for _, c := range []struct {
		claim string
		roles string // the plain targets file that is published
	}{
		{"too many bytes", strings.Replace(plainTargets, `"bob"`, `"`+strings.Repeat("b", 1<<16)+`"`, 1)},
		{"too deep", strings.Replace(plainTargets, `"bob"`, strings.Repeat("[", 13)+strings.Repeat("]", 13), 1)},
		{"too many members", strings.Replace(plainTargets, `"bob"`, "["+many(300, "%d")+"]", 1)},
		{"too many keys", strings.Replace(plainTargets, keyA, many(4, `"k%d":{"keytype":"a","scheme":"b","keyval":{}}`), 1)},
		{"too many key IDs", strings.Replace(plainTargets, `["a1"]`, "["+many(4, `"k%d"`)+"]", 1)},
		{"too many signatures", strings.Replace(plainTargets, `"signatures":[]`, `"signatures":[`+many(3, `{"keyid":"k%d","sig":""}`)+`]`, 1)},
		{"too many delegations", strings.Replace(plainTargets, `"roles":[`, `"roles":[`+many(2, `{"keyids":["a1"],"name":"r%d","paths":[],"terminating":false,"threshold":1}`)+`,`, 1)},
		{"too many targets", strings.Replace(plainTargets, `"targets":{`, `"targets":{`+many(5, `"t%d":{"hashes":{"sha256":"00"},"length":1}`)+`,`, 1)},
	} {
		t.Run(c.claim, func(t *testing.T) {
			file := tuf.File{Role: tuf.RoleTargets, Version: 2, Bytes: []byte(c.roles)}
			_, _, err := tuf.CheckPublish(repository, &w.state, []tuf.File{file}, tuf.PublishRules{Now: now, Limits: limits})
			wantRule(t, err, tuf.RuleLimit)
		})
	}
}

// A stranger's file costs memory in proportion to its size, before anything of
// it is trusted, and an error that tells of it stays short.
func TestHostileFileCostsBoundedMemory(t *testing.T) {
	const size = 512 << 10
	fill := func(before, unit, after string) []byte {
		return []byte(before + strings.TrimSuffix(strings.Repeat(unit, (size-len(before)-len(after))/len(unit)), ",") + after)
	}
	open := `{"signatures":[],"signed":{"_type":"targets","expires":"2030-01-02T03:04:05Z","spec_version":"1.0","version":1,"targets":{},"x":`
	// Small objects cost most: the parser makes a map of each, several times.
	for claim, data := range map[string][]byte{
		"brackets":        bytes.Repeat([]byte("["), size),
		"braces":          bytes.Repeat([]byte(`{"a":`), size/5),
		"empty arrays":    fill(open+"[", "[],", "]}}"),
		"one long string": fill(open+`"`, "aaaa", `"}}`),
		"escapes":         fill(open+`"`, `\u0061`, `"}}`),
		"long number":     fill(open, "1111", "}}"),
		"small objects":   fill(open+"[", `{"a":0},`, "]}}"),
		"long key ID":     fill(`{"signed":{},"signatures":[{"sig":"zz","keyid":"`, "aaaa", `"}]}`),
		"spaces":          bytes.Repeat([]byte(" "), size),
		"long type":       fill(`{"signatures":[],"signed":{"_type":"`, "aaaa", `"}}`),
		"many names":      manyNames(size),
	} {
		t.Run(claim, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := read(tuf.RoleTargets, data)
			runtime.ReadMemStats(&after)
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 200*size {
				t.Errorf("%d MiB allocated for a file of %d MiB", spent>>20, size>>20)
			}
		})
	}
}

func manyNames(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"signed":{`)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `"%d":0,`, i)
	}
	return []byte(b.String() + `"_type":"targets"}}`)
}
