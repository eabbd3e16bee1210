package client

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// rotateSnapshot serves a root with another snapshot key; the timestamp's stays.
func (b *bench) rotateSnapshot() {
	b.t.Helper()
	b.repo.snapshotKeys = []tuf.Signer{newKey(b.t)}
	b.repo.nextRoot(func(root *tuf.Root) {
		b.repo.must(tuf.SetRoleKeys(root, tuf.RoleSnapshot, tuf.RoleKeys{Keys: publicKeys(b.repo.snapshotKeys...)}))
	})
}

// TestFullDiskKeepsRollbackProtection has the disk full when a root that takes
// keys away is to be written. What tells a step back must still be there.
func TestFullDiskKeepsRollbackProtection(t *testing.T) {
	for _, name := range []string{".roots/.2.json.new", ".root.json.new"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			old := b.repo.served()
			b.repo.sign("1.0", digestOf("two"))
			b.trusts("1.0", "two")
			b.rotateSnapshot()
			b.repo.release()
			block := filepath.Join(b.folder(), name)
			b.repo.must(os.Mkdir(block, 0o700))
			// No timestamp takes the place of the one that is to be forgotten.
			b.server.setIntercept(func(w responseWriter, r *request) bool {
				if !strings.HasSuffix(r.URL.Path, "/timestamp.json") {
					return false
				}
				w.WriteHeader(500)
				return true
			})
			if d, err := b.verify("1.0"); err == nil || d.Trusted {
				t.Fatalf("got %+v, though nothing can be remembered", d)
			}
			b.server.setIntercept(nil)
			b.repo.must(os.Remove(block))
			now := b.repo.served()
			b.repo.serve(old)
			b.refuses("1.0", tuf.RuleRollback)
			b.repo.serve(now)
			b.trusts("1.0", "two")
		})
	}
}

// TestManyRootsAreAllKept has a verifier follow several roots at once: it keeps each,
// to heal from and to connect other anchors by, and goes on from the last.
func TestManyRootsAreAllKept(t *testing.T) {
	b := newBench(t)
	b.trusts("1.0", "one")
	for range 3 {
		b.rotateSnapshot()
	}
	b.repo.release()
	b.trusts("1.0", "one")
	d, err := OpenDir(b.folder())
	b.repo.must(err)
	if versions := d.roots(); !slices.Equal(versions, []int64{4, 3, 2, 1}) || d.rootVersion() != 4 {
		t.Errorf("kept are the roots %d, and version %d is the newest", versions, d.rootVersion())
	}
	b.repo.must(os.WriteFile(filepath.Join(b.folder(), "root.json"), []byte("{"), 0o600))
	b.trusts("1.0", "one")
}

// TestRotationHealsAfterCrash stops a process right after it wrote a root that
// takes the snapshot key away, while the timestamp and snapshot on disk are
// fast-forwarded ones. The kept timestamp key must not make them count.
func TestRotationHealsAfterCrash(t *testing.T) {
	b := newBench(t)
	b.repo.releaseAt(1000, 1000) // by a thief of the online keys
	b.trusts("1.0", "one")
	d, err := OpenDir(b.folder())
	b.repo.must(err)
	b.repo.snapshot.Version, b.repo.timestamp.Version = 2, 2
	b.rotateSnapshot()
	b.repo.release()
	// The crash: note and root are there, nothing is removed.
	d.marks.Generation++
	b.repo.must(d.noteStale(2))
	b.repo.must(d.writeMarks())
	b.repo.must(d.saveAll([]tuf.File{b.repo.rootFile}))
	b.trusts("1.0", "one")
	marks, err := os.ReadFile(filepath.Join(b.folder(), ".marks"))
	if err != nil || strings.Contains(string(marks), "stale") {
		t.Errorf("the note is still there: %s, %v", marks, err)
	}
	// From here on a step back counts again.
	before := b.repo.served()
	b.repo.sign("1.0", digestOf("two"))
	b.trusts("1.0", "two")
	b.repo.serve(before)
	b.refuses("1.0", tuf.RuleRollback)
}
