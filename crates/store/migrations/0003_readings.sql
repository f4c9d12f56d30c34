-- What was kept of a file's content, by the content's id and by what read it: the same content is never read twice.

CREATE TABLE readings (
    -- What read it, how, and under which settings and version: a digest.
    reader TEXT NOT NULL,
    blob TEXT NOT NULL,
    -- NULL: nothing was kept of it.
    text TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (reader, blob)
) STRICT, WITHOUT ROWID;
CREATE INDEX readings_by_age ON readings (at);
