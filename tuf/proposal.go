package tuf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// ProposalID returns the name of a proposal: the hex form of the SHA-256 of
//
//	signet-proposal LF repository LF {role LF version LF sha256 LF}
//
// with one group for each file, by role, where sha256 is the hex form of that of the
// bytes that are to be signed. It does not depend on signatures, nor on the order
// of the files. So whoever holds other content under an ID, a server say, is found
// out by computing it. Files that a publish could not be made of (none, a role
// twice, snapshot or timestamp, not in canonical form) are a *Refusal.
func ProposalID(repository string, files []File) (id string, err error) {
	defer recoverShape(&err)
	if err := CheckRepository(repository); err != nil {
		return "", err
	}
	sorted := slices.Clone(files)
	slices.SortFunc(sorted, func(a, b File) int { return strings.Compare(a.Role, b.Role) })
	p := publish{repository: repository, rules: PublishRules{Limits: Limits{}.orDefault()}, fresh: map[string]bool{}}
	if err := p.read(sorted); err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "signet-proposal\n%s\n", repository)
	for _, file := range sorted {
		payload, err := p.payload(file.Role)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s\n%d\n%x\n", file.Role, file.Version, sha256.Sum256(payload))
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// payload returns what the signatures of role's new file cover.
func (p *publish) payload(role string) ([]byte, error) {
	if role == RoleRoot {
		return Payload(p.root)
	}
	return Payload(p.roles[role])
}

// MergeSignatures returns the file of role with the signatures of all of files, which
// have to have the same signed bytes (else a *Refusal, RuleHash) and be in canonical
// form. Of two signatures by one key the first stands. None is verified.
func MergeSignatures(role string, files ...[]byte) (merged []byte, err error) {
	defer recoverShape(&err)
	if role == RoleRoot {
		return mergeSignatures[metadata.RootType](role, RoleRoot, files)
	}
	return mergeSignatures[metadata.TargetsType](role, RoleTargets, files)
}

func mergeSignatures[T metadata.Roles](role, kind string, files [][]byte) ([]byte, error) {
	if len(files) == 0 {
		return nil, &Refusal{Role: role, Rule: RuleShape, Clause: "Signet proposals", Detail: "no file to merge signatures of"}
	}
	var merged *metadata.Metadata[T]
	var signed []byte
	for _, data := range files {
		md, err := readPublished[T](File{Role: role, Bytes: data}, kind, Limits{}.orDefault())
		if err != nil {
			return nil, (&Trusted{}).refuse(err, role, 0, "Signet proposals")
		}
		payload, err := Payload(md)
		if err != nil {
			return nil, err
		}
		if merged == nil {
			merged, signed = md, payload
			continue
		}
		if !bytes.Equal(payload, signed) {
			return nil, &Refusal{Role: role, Rule: RuleHash, Clause: "Signet proposals", Detail: "the files are not the same but for their signatures"}
		}
		for _, s := range md.Signatures {
			if !slices.ContainsFunc(merged.Signatures, func(m metadata.Signature) bool { return m.KeyID == s.KeyID }) {
				merged.Signatures = append(merged.Signatures, s)
			}
		}
	}
	return Encode(merged)
}

// KeepSignatures makes every check of CheckProposed and returns files as they are to
// be kept while signatures are gathered: with only those that verify by a key that
// may sign the role after the publish, or, for root, before it.
func KeepSignatures(repository string, cur *State, files []File, rules PublishRules) (kept []File, err error) {
	defer recoverShape(&err)
	p := publish{repository: repository, cur: cur, rules: rules, proposed: true}
	if _, err := p.check(files); err != nil {
		return nil, err
	}
	_, kept, err = p.result()
	return kept, err
}

// SignatureKeys returns the IDs of the keys that a file of role has signatures by,
// sorted. None is verified.
func SignatureKeys(role string, data []byte) (ids []string, err error) {
	defer recoverShape(&err)
	var signatures []metadata.Signature
	if role == RoleRoot {
		root, err := ReadRoot(data)
		if err != nil {
			return nil, err
		}
		signatures = root.Signatures
	} else {
		targets, err := ReadTargets(data)
		if err != nil {
			return nil, err
		}
		signatures = targets.Signatures
	}
	ids = []string{}
	for _, s := range signatures {
		ids = append(ids, s.KeyID)
	}
	slices.Sort(ids)
	return ids, nil
}
