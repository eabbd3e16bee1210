-- +goose Up

-- Publishes that wait for signatures. A repository need not exist: its creation can be
-- proposed. Rows are replaced, so nothing here is history.
CREATE TABLE proposal (
    repository   TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    slot         BIGINT NOT NULL, -- from 0 up: that no two have the same bounds how many there are
    revision     BIGINT NOT NULL, -- moves at every change, and decides races
    token        TEXT   NOT NULL, -- who proposed
    note         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    withdrawn_at BIGINT NOT NULL, -- 0: it was not
    outline      BYTEA  NOT NULL, -- roles, versions and hashes of its files, and who signed
    body         BYTEA  NOT NULL, -- the files, and what the change was made from
    PRIMARY KEY (repository, id),
    UNIQUE (repository, slot)
);

CREATE INDEX proposal_created ON proposal (created_at);
