-- Values that only one may have, folded. Without confirmed_at the fact that takes the value may still be on its way.
CREATE TABLE reservations (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    holder TEXT NOT NULL,
    reserved_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    PRIMARY KEY (organization_id, kind, value)
);

CREATE INDEX reservations_by_holder ON reservations (organization_id, kind, holder);
CREATE INDEX reservations_unconfirmed ON reservations (kind, reserved_at) WHERE confirmed_at IS NULL;

-- How far each series of numbers has come. Its row is the lock of the series.
CREATE TABLE number_series (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    kind TEXT NOT NULL,
    highest BIGINT NOT NULL,
    PRIMARY KEY (organization_id, kind)
);

-- A number without a holder was given back, and is the next to be taken.
CREATE TABLE numbers (
    organization_id TEXT NOT NULL REFERENCES organizations (id),
    kind TEXT NOT NULL,
    number BIGINT NOT NULL,
    holder TEXT,
    taken_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    PRIMARY KEY (organization_id, kind, number),
    CONSTRAINT numbers_holder_unique UNIQUE (organization_id, kind, holder)
);

CREATE INDEX numbers_given_back ON numbers (organization_id, kind, number) WHERE holder IS NULL;
CREATE INDEX numbers_unconfirmed ON numbers (kind, taken_at) WHERE confirmed_at IS NULL AND holder IS NOT NULL;
