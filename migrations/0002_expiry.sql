-- +goose Up

-- When the current timestamp and the current root expire, so that the first
-- timestamp to expire is found without reading them all. 0: not known before the
-- next publish or refresh.
ALTER TABLE head ADD COLUMN timestamp_expires BIGINT NOT NULL DEFAULT 0;
ALTER TABLE head ADD COLUMN root_expires BIGINT NOT NULL DEFAULT 0;

CREATE INDEX head_expiry ON head (timestamp_expires);
