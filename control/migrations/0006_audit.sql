-- Who changed what, and who read personal data. Rows are added and never changed.
-- No reference to organizations: an entry outlives what it tells of.
CREATE TABLE audit (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    origin TEXT,
    action TEXT NOT NULL,
    record TEXT NOT NULL,
    record_id TEXT NOT NULL,
    before TEXT,
    after TEXT
);

CREATE INDEX audit_by_time ON audit (organization_id, at, id);
CREATE INDEX audit_by_actor ON audit (organization_id, actor, at, id);
CREATE INDEX audit_by_record ON audit (organization_id, record_id, at, id);
