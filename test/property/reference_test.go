package property_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"github.com/signet-trust/signet/tuf"
)

// An outcome is what one verifier says of one tag.
type outcome struct {
	ok       bool
	digest   string
	versions map[string]int64 // of the roles that were read; only when ok
	err      error
}

// reference asks go-tuf: the order in which it is fed is that of go-tuf's own updater
// (whose package wants a retry library that nothing of ours needs), the verdicts are
// those of trustedmetadata and of its delegation search. local is what the verifier
// remembers, by role.
func reference(local map[string][]byte, v view, now time.Time, tag string) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = outcome{err: fmt.Errorf("panic: %v", p)}
		}
	}()
	set, err := trustedmetadata.New(local[tuf.RoleRoot])
	if err != nil {
		return outcome{err: err}
	}
	set.RefTime = now
	if err := referenceTop(set, local, v); err != nil {
		return outcome{err: err}
	}
	o = outcome{versions: map[string]int64{tuf.RoleRoot: set.Root.Signed.Version, tuf.RoleTimestamp: set.Timestamp.Signed.Version, tuf.RoleSnapshot: set.Snapshot.Signed.Version}}
	type visit struct{ role, parent string }
	todo, visited := []visit{{tuf.RoleTargets, tuf.RoleRoot}}, map[string]bool{}
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if visited[next.role] {
			continue
		}
		visited[next.role] = true
		md, err := referenceTargets(set, local, v, next.role, next.parent)
		if err != nil {
			return outcome{err: err}
		}
		o.versions[next.role] = md.Signed.Version
		if file, ok := md.Signed.Targets[app+":"+tag]; ok {
			o.ok, o.digest = true, "sha256:"+hex.EncodeToString(file.Hashes["sha256"])
			return o
		}
		if md.Signed.Delegations == nil {
			continue
		}
		var below []visit
		for _, r := range md.Signed.Delegations.GetRolesForTarget(app + ":" + tag) {
			below = append(below, visit{r.Name, next.role})
			if r.Terminating {
				todo = nil
				break
			}
		}
		for i := len(below) - 1; i >= 0; i-- {
			todo = append(todo, below[i])
		}
	}
	o.err = errors.New("no role lists the tag")
	return o
}

// referenceTop is §5.3 to §5.5 and the top-level targets.
func referenceTop(set *trustedmetadata.TrustedMetadata, local map[string][]byte, v view) error {
	for {
		data, err := v(tuf.FileName(tuf.RoleRoot, set.Root.Signed.Version+1))
		if errors.Is(err, tuf.ErrNotFound) {
			break
		}
		if err != nil {
			return err
		}
		if _, err := set.UpdateRoot(data); err != nil {
			return err
		}
	}
	if data := local[tuf.RoleTimestamp]; data != nil {
		if _, err := set.UpdateTimestamp(data); err != nil && !errors.Is(err, &metadata.ErrRepository{}) {
			return err
		}
	}
	data, err := v("timestamp.json")
	if err != nil {
		return err
	}
	if _, err := set.UpdateTimestamp(data); err != nil && !errors.Is(err, &metadata.ErrEqualVersionNumber{}) {
		return err
	}
	if data := local[tuf.RoleSnapshot]; data != nil {
		_, err := set.UpdateSnapshot(data, true)
		if err == nil {
			return nil
		}
		if !errors.Is(err, &metadata.ErrRepository{}) {
			return err
		}
	}
	data, err = v(tuf.FileName(tuf.RoleSnapshot, set.Timestamp.Signed.Meta["snapshot.json"].Version))
	if err != nil {
		return err
	}
	_, err = set.UpdateSnapshot(data, false)
	return err
}

func referenceTargets(set *trustedmetadata.TrustedMetadata, local map[string][]byte, v view, role, parent string) (*tuf.Targets, error) {
	if data := local[role]; data != nil {
		if md, err := set.UpdateDelegatedTargets(data, role, parent); err == nil {
			return md, nil
		}
	}
	meta := set.Snapshot.Signed.Meta[role+".json"]
	if meta == nil {
		return nil, fmt.Errorf("the snapshot does not list %s", role)
	}
	data, err := v(strconv.FormatInt(meta.Version, 10) + "." + role + ".json")
	if err != nil {
		return nil, err
	}
	return set.UpdateDelegatedTargets(data, role, parent)
}
