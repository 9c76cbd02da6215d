-- name: next_token
-- Draw a fencing token.
UPDATE store_info SET lease_tokens = lease_tokens + 1 RETURNING lease_tokens;

-- name: in_the_way
-- A run of this kind that is under way for this tenant or for all (for all tenants: for any).
SELECT {run}
FROM runs AS r
WHERE r.kind = :kind AND r.state = 'running' AND (:user_id = '' OR r.user_id IN ('', :user_id)) AND r.expires_at > :now
ORDER BY r.id
LIMIT 1;

-- name: make_way
-- Dead runs become interrupted, and their processes, should they come back, find that they have lost them.
UPDATE runs SET state = 'interrupted', holder = NULL, expires_at = NULL, updated_at = :now
WHERE kind = :kind AND state = 'running' AND (:user_id = '' OR user_id IN ('', :user_id));

-- name: begin
-- Begin a run.
INSERT INTO runs AS r (id, kind, user_id, depth, state, request, token, holder, started_at, updated_at, expires_at)
VALUES (:id, :kind, :user_id, :depth, 'running', :request, :token, :holder, :now, :now, :expires_at)
RETURNING {run};

-- name: resume
-- Take up a run.
UPDATE runs AS r
SET state = 'running', token = :token, attempts = attempts + 1, cancel_requested = 0, holder = :holder,
    finished_at = NULL, updated_at = :now, expires_at = :expires_at
WHERE id = :id
RETURNING {run};

-- name: save
-- Save how far a run is, and renew its lease, for whoever holds it.
UPDATE runs SET cursor = :cursor, updated_at = :now, expires_at = :expires_at
WHERE id = :id AND token = :token AND state = 'running'
RETURNING cancel_requested;

-- name: renew
-- Renew a run's lease, for whoever holds it.
UPDATE runs SET expires_at = :expires_at
WHERE id = :id AND token = :token AND state = 'running'
RETURNING cancel_requested;

-- name: finish
-- End or interrupt a run, for whoever holds it.
UPDATE runs AS r
SET state = :state, report = :report, holder = NULL, expires_at = NULL, updated_at = :now,
    finished_at = CASE WHEN :state <> 'interrupted' THEN :now END
WHERE id = :id AND token = :token AND state = 'running'
RETURNING {run};

-- name: ask_to_stop
-- Ask whoever runs it to stop.
UPDATE runs SET cancel_requested = 1, updated_at = :now
WHERE id = :id AND state = 'running' AND expires_at > :now;

-- name: cancel
-- Cancel a run that nobody runs.
UPDATE runs
SET state = 'cancelled', cancel_requested = 1, holder = NULL, expires_at = NULL, updated_at = :now, finished_at = :now
WHERE id = :id AND (state = 'interrupted' OR (state = 'running' AND expires_at <= :now));

-- name: one
-- One run.
SELECT {run} FROM runs AS r WHERE r.id = :id;

-- name: list
-- Runs of a kind and state, the newest first.
SELECT {run} FROM runs AS r WHERE r.kind = :kind AND r.state = :state AND r.id < :before ORDER BY r.id DESC LIMIT :limit;

-- name: list_tenant
-- The same of one tenant.
SELECT {run}
FROM runs AS r
WHERE r.user_id = :user_id AND r.kind = :kind AND r.state = :state AND r.id < :before
ORDER BY r.id DESC
LIMIT :limit;

-- name: last_done
-- The newest run of a kind and depth that was brought to its end.
SELECT {run} FROM runs AS r WHERE r.state = 'done' AND r.kind = :kind AND r.depth = :depth ORDER BY r.id DESC LIMIT 1;

-- name: totals
-- What repairs and rebuilds have done, over the runs that are kept; those that were to change nothing left out.
SELECT
    count(*) FILTER (WHERE kind <> 'rebuild'),
    sum(coalesce(json_extract(report, '$.repaired'), json_extract(report, '$.repair.repaired'))),
    count(*) FILTER (WHERE kind = 'rebuild'),
    sum(json_extract(report, '$.memories'))
FROM runs
WHERE kind IN ('repair', 'full', 'rebuild') AND state = 'done' AND json_type(request, '$.dry_run') = 'false';

-- name: prune
-- Remove old runs that have ended, but the newest of each kind, depth and tenant.
DELETE FROM runs
WHERE id IN (
    SELECT l.id
    FROM runs AS l
    WHERE l.finished_at < :before
        AND EXISTS (
            SELECT 1 FROM runs AS n
            WHERE n.user_id = l.user_id AND n.kind = l.kind AND n.depth = l.depth AND n.finished_at IS NOT NULL
                AND (n.finished_at, n.id) > (l.finished_at, l.id)
        )
    ORDER BY l.finished_at
    LIMIT :limit
);

-- name: remove
-- Remove a run, unless somebody runs it.
DELETE FROM runs WHERE id = ? AND (state <> 'running' OR expires_at IS NULL OR expires_at < ?);

-- name: lease
-- Who holds a name.
SELECT holder, token, expires_at FROM leases WHERE name = :name;

-- name: hold
-- Take or renew a named lease.
INSERT INTO leases (name, holder, token, expires_at) VALUES (:name, :holder, :token, :expires_at)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, token = excluded.token, expires_at = excluded.expires_at;

-- name: let_go
-- Give a named lease back.
UPDATE leases SET expires_at = :now WHERE name = :name AND holder = :holder;
