-- Groups of staff. A name is one team's in its organization, whatever its case.
CREATE TABLE teams (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT teams_name_unique UNIQUE (organization_id, name_key)
);

-- Users are never deleted: what they did names them.
-- Checked at the end of a transaction: a copy is put back table by table, and this one comes first.
ALTER TABLE users ADD COLUMN team_id TEXT REFERENCES teams (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE users ADD COLUMN deactivated_at BIGINT;
ALTER TABLE users ADD COLUMN last_login_at BIGINT;

CREATE INDEX users_by_team ON users (team_id);

-- A name for each session, so that it can be listed and ended by who does not hold its token.
ALTER TABLE sessions ADD COLUMN id TEXT;
ALTER TABLE sessions ADD COLUMN last_used_at BIGINT;
UPDATE sessions SET id = 'ses_' || substr(token_hash, 1, 32);

CREATE UNIQUE INDEX sessions_by_id ON sessions (id);
