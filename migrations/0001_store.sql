-- +goose Up

-- One row per repository. A publish moves generation up by one, in one
-- conditional UPDATE, and so decides who was first.
CREATE TABLE head (
    repository  TEXT   NOT NULL PRIMARY KEY,
    generation  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    refresh_at  BIGINT NOT NULL, -- when snapshot and timestamp are due to be signed anew
    lease_until BIGINT NOT NULL  -- no one else refreshes before this
);

CREATE INDEX head_refresh ON head (refresh_at);

-- Every file that was published: the exact bytes, never changed.
CREATE TABLE file (
    repository TEXT   NOT NULL REFERENCES head (repository),
    role       TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    generation BIGINT NOT NULL, -- the publication that brought it
    stored_at  BIGINT NOT NULL,
    sha256     TEXT   NOT NULL,
    bytes      BYTEA  NOT NULL,
    PRIMARY KEY (repository, role, version)
);

CREATE INDEX file_generation ON file (repository, generation);

-- The current version of every role that the repository has ever had. A role
-- that left the tree of delegations stays listed, as it does in the snapshot.
CREATE TABLE head_file (
    repository TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    PRIMARY KEY (repository, role),
    FOREIGN KEY (repository, role, version) REFERENCES file (repository, role, version)
);

-- Who published when; what, is in file by generation.
CREATE TABLE publication (
    repository   TEXT   NOT NULL REFERENCES head (repository),
    generation   BIGINT NOT NULL,
    token        TEXT   NOT NULL, -- the token's ID, '' for a refresh by the server itself
    published_at BIGINT NOT NULL,
    PRIMARY KEY (repository, generation)
);

CREATE INDEX publication_token ON publication (token, published_at);

-- Who may do what. The token itself is not here, only its SHA-256.
CREATE TABLE token (
    id           TEXT   NOT NULL PRIMARY KEY,
    sha256       TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    scopes       TEXT   NOT NULL, -- separated by spaces
    repositories TEXT   NOT NULL, -- patterns, separated by spaces
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL, -- 0: never
    revoked_at   BIGINT NOT NULL  -- 0: not revoked
);
