package store

import (
	"context"
	"database/sql"

	"github.com/signet-trust/signet/server/api"
)

// The publications that brought a file of people's making, each with those files.
const selectPublished = `
	SELECT file.generation, COALESCE(publication.token, ''), COALESCE(publication.published_at, file.stored_at),
		file.role, file.version, LENGTH(file.bytes), file.sha256
	FROM file
	LEFT JOIN publication ON publication.repository = file.repository AND publication.generation = file.generation
	WHERE file.repository = $1 AND file.role NOT IN ('snapshot', 'timestamp') AND file.generation IN (
		SELECT DISTINCT generation FROM file
		WHERE repository = $1 AND generation > $2 AND role NOT IN ('snapshot', 'timestamp')
		ORDER BY generation LIMIT $3
	)
	ORDER BY file.generation, file.role, file.version`

// Published returns up to limit publications of repository after generation after,
// oldest first, with the root, targets and signers' files that each brought, without
// their bytes. Refreshes, which brought none, are left out. The history of a repository
// that was retired is there as before.
func (db *DB) Published(ctx context.Context, repository string, after int64, limit int) ([]api.Publication, error) {
	list := []api.Publication{}
	if !storable(repository) {
		return list, nil
	}
	err := db.read.rows(ctx, func(rows *sql.Rows) error {
		var p api.Publication
		var f api.HistoryFile
		var at int64
		if err := rows.Scan(&p.Generation, &p.Token, &at, &f.Role, &f.Version, &f.Length, &f.SHA256); err != nil {
			return err
		}
		if len(list) == 0 || list[len(list)-1].Generation != p.Generation {
			p.Time = moment(at)
			list = append(list, p)
		}
		last := &list[len(list)-1]
		last.Files = append(last.Files, f)
		return nil
	}, selectPublished, repository, after, max(limit, 0))
	if err != nil {
		return nil, db.src.trouble(ctx, "read history of "+repository, err)
	}
	return list, nil
}
