-- One row per repository: the marks above which versions are assigned.
-- generation moves by one with every signature, in one conditional UPDATE.
CREATE TABLE repository (
    name           TEXT    NOT NULL PRIMARY KEY,
    generation     INTEGER NOT NULL,
    snapshot_mark  INTEGER NOT NULL,
    timestamp_mark INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT;

-- The last file of every role: root, targets and signers' as they were accepted
-- (removed signers' too), snapshot and timestamp as they were signed.
CREATE TABLE role_file (
    repository TEXT    NOT NULL REFERENCES repository (name),
    role       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    sha256     TEXT    NOT NULL,
    bytes      BLOB    NOT NULL,
    PRIMARY KEY (repository, role)
) STRICT;

-- Private keys, sealed. The identity key belongs to the repository ''.
CREATE TABLE signing_key (
    repository TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    number     INTEGER NOT NULL, -- 1 for the first, and up
    public     TEXT    NOT NULL, -- TUF key object
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (repository, role, number)
) STRICT;

-- Everything that was signed, each entry chained to the one before by hash. That
-- a version is there once, whatever the code above does, is the last net.
CREATE TABLE log (
    seq        INTEGER NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    repository TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    sha256     TEXT    NOT NULL,
    previous   TEXT    NOT NULL,
    hash       TEXT    NOT NULL,
    UNIQUE (repository, role, version)
) STRICT;

CREATE TRIGGER log_keep BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log is only added to'); END;
CREATE TRIGGER log_stay BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log is only added to'); END;
