-- +goose Up

-- Who proposed repositories that were not there. The turn moves with each such proposal:
-- of two at once, both of which saw room for one more, one is refused.
CREATE TABLE proposer (
    token TEXT   PRIMARY KEY,
    turn  BIGINT NOT NULL
);

CREATE INDEX proposal_token ON proposal (token);
