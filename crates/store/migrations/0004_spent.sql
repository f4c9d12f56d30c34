-- What runs cost and what kind their tasks are of, to say what the next task of that kind is likely to take. The indexes
-- hold all that the question needs: the rows themselves are large.

ALTER TABLE tasks ADD COLUMN kind TEXT NOT NULL DEFAULT '';
UPDATE tasks SET kind = data ->> '$.kind';
CREATE INDEX tasks_by_end ON tasks (stage, updated_at DESC, id, source, kind);

-- Micro-USD.
ALTER TABLE runs ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET cost = coalesce(data ->> '$.usage.cost_micro_usd', 0);
CREATE INDEX runs_spent ON runs (task, cost, started_at, finished_at);
