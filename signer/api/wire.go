package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// The JSON forms of what holds files: exact bytes, as base64.
type (
	fileJSON struct {
		Role    string `json:"role"`
		Version int64  `json:"version"`
		Content []byte `json:"content"`
	}
	signRequestJSON struct {
		Repository string     `json:"repository"`
		Roots      [][]byte   `json:"roots"`
		Roles      []fileJSON `json:"roles"`
	}
	onlineKeysRequestJSON struct {
		Repository string   `json:"repository"`
		Fresh      []string `json:"fresh,omitempty"`
	}
	repositoryJSON struct {
		Repository string `json:"repository"`
	}
	signedJSON struct {
		Snapshot  fileJSON `json:"snapshot"`
		Timestamp fileJSON `json:"timestamp"`
	}
	lastJSON struct {
		Root  []byte     `json:"root"`
		Roles []fileJSON `json:"roles"`
		signedJSON
	}
	identityJSON struct {
		Key           *tuf.Key `json:"key"`
		SnapshotLife  int64    `json:"snapshot_life"`  // seconds
		TimestampLife int64    `json:"timestamp_life"` // seconds
	}
	onlineKeysJSON struct {
		Keys []OnlineKey `json:"keys"`
	}
)

func toJSON(files []tuf.File) []fileJSON {
	list := make([]fileJSON, len(files))
	for i, f := range files {
		list[i] = fileJSON{f.Role, f.Version, f.Bytes}
	}
	return list
}

func fromJSON(list []fileJSON) []tuf.File {
	files := make([]tuf.File, len(list))
	for i, f := range list {
		files[i] = f.file()
	}
	return files
}

func (f fileJSON) file() tuf.File {
	return tuf.File{Role: f.Role, Version: f.Version, Bytes: f.Content}
}

func (s Signed) json() signedJSON {
	return signedJSON{
		Snapshot:  fileJSON{s.Snapshot.Role, s.Snapshot.Version, s.Snapshot.Bytes},
		Timestamp: fileJSON{s.Timestamp.Role, s.Timestamp.Version, s.Timestamp.Bytes},
	}
}

func (s signedJSON) signed() Signed {
	return Signed{Snapshot: s.Snapshot.file(), Timestamp: s.Timestamp.file()}
}

func (i Identity) json() identityJSON {
	return identityJSON{i.Key, int64(i.SnapshotLife / time.Second), int64(i.TimestampLife / time.Second)}
}

func (i identityJSON) identity() *Identity {
	return &Identity{Key: i.Key, SnapshotLife: time.Duration(i.SnapshotLife) * time.Second, TimestampLife: time.Duration(i.TimestampLife) * time.Second}
}

// EncodeSignRequest returns the body that asks for a signature.
func EncodeSignRequest(r *SignRequest) ([]byte, error) {
	return json.Marshal(signRequestJSON{r.Repository, r.Roots, toJSON(r.Roles)})
}

// DecodeSignRequest reads what EncodeSignRequest wrote, and refuses what makes
// no sense or has members that nobody knows.
func DecodeSignRequest(data []byte) (*SignRequest, error) {
	var body signRequestJSON
	if err := decode(data, &body); err != nil {
		return nil, err
	}
	r := &SignRequest{Repository: body.Repository, Roots: body.Roots, Roles: fromJSON(body.Roles)}
	if err := r.Check(); err != nil {
		return nil, err
	}
	return r, nil
}

// decode reads one JSON document with known members only.
func decode(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: read JSON: %v", ErrBadRequest, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: data after the end of the JSON document", ErrBadRequest)
	}
	return nil
}
