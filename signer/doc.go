// Package signer is the online-key service: it holds the snapshot and timestamp
// keys of every repository and is no oracle for them. It is shown the roots and
// all files that a snapshot is to list, checks them with package tuf as a client
// would, builds snapshot and timestamp itself and assigns their versions.
//
// It promises:
//
//   - No version of a role is ever signed with two contents. Versions are one
//     above the signer's own mark, and the mark, what was signed and the log are
//     committed to disk in one transaction before the answer goes out. Whatever
//     dies at whatever moment costs a number and nothing else.
//   - It signs only for a root that names the repository, follows from the root
//     that was accepted before, and lists this signer's keys for the repository
//     and no others; and only over roles that verify under that root. Nothing
//     that was accepted before steps back, changes or vanishes, and versions go
//     up from 1 by one, so no caller makes them jump.
//   - Last returns what was signed last, so that a publish which was signed but
//     not committed when the server died is completed, not lost or half there.
//   - Private keys lie on disk as AES-256-GCM envelopes, bound to repository,
//     role and key ID, and are in memory only while they sign.
//
// Who may be evil: whoever asks for signatures can burn version numbers one at a
// time, withhold what was signed, and fill the disk up to Config.MaxRepositories;
// it cannot have anything signed that root and targets keys did not sign, nor
// jump to the largest version. Whoever can write to the database, without the
// key-encryption key, can stop the signer or set it back, which the log's last
// hash (in the service's own log at every signature) gives away. Whoever has the
// database and the key-encryption key is the signer.
//
//	s, err := signer.Open(ctx, signer.Config{Dir: "signet-data/signer"})
//	keys, err := s.OnlineKeys(ctx, repository)   // root lists these
//	signed, err := s.Sign(ctx, api.SignRequest{Repository: repository, Roots: roots, Roles: roles})
//
// Files in Dir: signer.db (SQLite, with its -wal and -shm while open; -lock while
// opening) and, unless kept elsewhere, key-encryption-key.pem.
package signer
