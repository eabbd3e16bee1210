-- +goose Up

-- When the current files that people sign expire, so that what expires soon is found
-- without reading them all. A row whose version is not the current one, or that is
-- missing, is not known yet: a server of an older release published, or this table is
-- new. The server fills it in.
CREATE TABLE expiry (
    repository TEXT   NOT NULL REFERENCES head (repository),
    role       TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    expires    BIGINT NOT NULL, -- 0: no role delegates to it any more
    PRIMARY KEY (repository, role)
);

CREATE INDEX expiry_first ON expiry (expires, repository, role);

-- Versions that clients may have seen of files that are not stored: of a name that was
-- retired, or that were lost with a database. The next file of the role is above.
CREATE TABLE version_floor (
    repository TEXT   NOT NULL REFERENCES head (repository),
    role       TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    PRIMARY KEY (repository, role)
);

-- When the repository was retired. 0: it was not, or it was created again since.
ALTER TABLE head ADD COLUMN retired_at BIGINT NOT NULL DEFAULT 0;
