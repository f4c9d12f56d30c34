-- What code hosts said has happened. Kept for a while after it was taken up, so that none is taken up twice.

CREATE TABLE deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    -- Asked for, after the code host could not bring it.
    recovered INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    subject TEXT NOT NULL,
    updated_at INTEGER,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX deliveries_by_age ON deliveries (done, at, id);
CREATE INDEX deliveries_by_subject ON deliveries (subject, done, updated_at);
