-- Definitions of segments. A name is one segment's in its organization, whatever its case; criteria are JSON.
CREATE TABLE segments (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    description TEXT,
    criteria TEXT NOT NULL,
    is_active BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    CONSTRAINT segments_name_unique UNIQUE (organization_id, name_key)
);

CREATE INDEX segments_in_order ON segments (organization_id, id);

-- Questions are a JSON list.
CREATE TABLE surveys (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    title TEXT NOT NULL,
    description TEXT,
    is_active BIGINT NOT NULL,
    questions TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);

CREATE INDEX surveys_in_order ON surveys (organization_id, id);
