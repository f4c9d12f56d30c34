-- The first tables. Times are milliseconds since the Unix epoch, UTC. A column beside `data` (JSON) exists because a
-- query needs it.

CREATE TABLE tasks (
    id TEXT NOT NULL PRIMARY KEY,
    repository TEXT NOT NULL,
    source TEXT NOT NULL,
    stage TEXT NOT NULL,
    points INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    -- Title and body in lower case.
    search TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX tasks_by_rank ON tasks (points DESC, created_at, id);
CREATE INDEX tasks_by_stage ON tasks (stage);
CREATE INDEX tasks_by_repository ON tasks (repository);

CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    task TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX runs_by_task ON runs (task, attempt);
CREATE INDEX runs_by_start ON runs (started_at DESC, task, attempt DESC);
CREATE INDEX runs_by_end ON runs (finished_at);

-- AUTOINCREMENT: an id is never used again, so that an old lease never fits a new job.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    task TEXT NOT NULL REFERENCES tasks (id),
    repository TEXT NOT NULL,
    rank INTEGER NOT NULL,
    run_after INTEGER NOT NULL,
    claims INTEGER NOT NULL DEFAULT 0,
    held_by TEXT,
    held_until INTEGER,
    epoch INTEGER NOT NULL DEFAULT 0,
    -- Not (kind, task): SQLite would look for due jobs by kind and sort them all at each claim.
    UNIQUE (task, kind),
    CHECK ((held_by IS NULL) = (held_until IS NULL))
) STRICT;
CREATE INDEX jobs_by_rank ON jobs (rank DESC, run_after, id);
CREATE INDEX jobs_by_repository ON jobs (repository, held_until);

-- AUTOINCREMENT: a reader that asks for what came after `seq` misses nothing, even after old events are deleted.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    repository TEXT NOT NULL,
    task TEXT,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_task ON events (task, seq);
CREATE INDEX events_by_repository ON events (repository, seq);

CREATE TABLE transcripts (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- Bytes of the run's transcript up to and with this line.
    bytes INTEGER NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT;

CREATE TABLE intents (
    id TEXT NOT NULL PRIMARY KEY,
    done INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX intents_by_age ON intents (done, created_at);

CREATE TABLE repositories (
    name TEXT NOT NULL PRIMARY KEY,
    data TEXT NOT NULL
) STRICT;

CREATE TABLE notes (
    space TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (space, key)
) STRICT;
CREATE INDEX notes_by_expiry ON notes (expires_at);
