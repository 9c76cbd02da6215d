-- name: begin
-- Begin a run, or return the one that stands in its way.
SELECT b.verdict, {run}
FROM begin_run(%(kind)s, %(user_id)s, %(request)s::jsonb, %(holder)s, %(lease)s::double precision) AS b
CROSS JOIN LATERAL (SELECT (b.run).*) AS r;

-- name: resume
-- Take up a run that nobody runs, or return the one that stands in its way.
SELECT b.verdict, {run}
FROM resume_run(%(run_id)s, %(holder)s, %(lease)s::double precision) AS b
CROSS JOIN LATERAL (SELECT (b.run).*) AS r;

-- name: save
-- Save how far a run is, and renew its lease, for whoever holds it.
UPDATE runs AS r
SET cursor = %(cursor)s::jsonb, updated_at = clock_timestamp(),
    expires_at = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
RETURNING r.cancel_requested;

-- name: renew
-- Renew a run's lease, for whoever holds it.
UPDATE runs AS r
SET expires_at = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
RETURNING r.cancel_requested;

-- name: finish
-- End or interrupt a run, for whoever holds it.
UPDATE runs AS r
SET state = %(state)s, report = %(report)s::jsonb, holder = NULL, expires_at = NULL, updated_at = clock_timestamp(),
    finished_at = CASE WHEN %(state)s <> 'interrupted' THEN clock_timestamp() END
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
RETURNING {run};

-- name: cancel
-- Ask a run to stop.
SELECT {run} FROM cancel_run(%(run_id)s) AS r;

-- name: one
-- One run.
SELECT {run} FROM runs AS r WHERE r.id = %(run_id)s;

-- name: list
-- Runs, the newest first: each kind and state has its place in the index, so none is read in vain. Rows are compared,
-- not columns: else the planner, which does not know that a state may be missing, walks along the runs of all states
-- until it meets enough of one.
SELECT {run}
FROM (
    SELECT l.id
    FROM unnest(%(kinds)s::text[]) AS k (kind)
    CROSS JOIN unnest(%(states)s::text[]) AS s (state)
    CROSS JOIN LATERAL (
        SELECT l.id
        FROM runs AS l
        WHERE ({of} l.kind, l.state, l.id) < ({this} k.kind, s.state, %(before)s)
            AND ({of} l.kind, l.state, l.id) >= ({this} k.kind, s.state, '00000000-0000-0000-0000-000000000000')
        ORDER BY {newest_first}
        LIMIT %(limit)s
    ) AS l
    ORDER BY l.id DESC
    LIMIT %(limit)s
) AS n
CROSS JOIN LATERAL (SELECT * FROM runs AS l WHERE l.id = n.id LIMIT 1) AS r
ORDER BY r.id DESC;

-- name: last_checks
-- Of each depth the newest check or full sync that was brought to its end.
SELECT {run}
FROM unnest(%(depths)s::text[]) AS d (depth)
CROSS JOIN LATERAL (
    SELECT l.*
    FROM unnest(ARRAY['check', 'full']) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT l.* FROM runs AS l
        WHERE l.state = 'done'
            AND (l.kind, l.depth, l.id) >= (k.kind, d.depth, '00000000-0000-0000-0000-000000000000')
            AND (l.kind, l.depth, l.id) <= (k.kind, d.depth, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY l.kind DESC, l.depth DESC, l.id DESC
        LIMIT 1
    ) AS l
    ORDER BY l.id DESC
    LIMIT 1
) AS r;

-- name: totals
-- What repairs and rebuilds have done, over the runs that are kept; those that were to change nothing left out.
SELECT
    count(*) FILTER (WHERE r.kind <> 'rebuild'),
    sum(coalesce(r.report ->> 'repaired', r.report #>> '{{repair,repaired}}')::bigint)::bigint,
    count(*) FILTER (WHERE r.kind = 'rebuild'),
    sum((r.report ->> 'memories')::bigint)::bigint
FROM runs AS r
WHERE r.kind IN ('repair', 'full', 'rebuild') AND r.state = 'done' AND r.request ->> 'dry_run' = 'false';

-- name: prune
-- Remove old runs that have ended, but the newest of each kind, depth and tenant.
WITH gone AS (
    DELETE FROM runs AS r
    WHERE r.id = ANY (ARRAY(
        SELECT l.id
        FROM runs AS l
        WHERE l.finished_at < (SELECT clock_timestamp() - make_interval(secs => %(age)s))
            AND EXISTS (
                SELECT FROM runs AS n
                WHERE n.user_id = l.user_id AND n.kind = l.kind AND n.depth = l.depth AND n.finished_at IS NOT NULL
                    AND (n.finished_at, n.id) > (l.finished_at, l.id)
            )
        ORDER BY l.finished_at
        LIMIT %(limit)s
    )) AND r.finished_at IS NOT NULL
    RETURNING r.id
)
SELECT count(*) FROM gone;

-- name: remove
-- Remove runs, but for those that somebody runs.
WITH gone AS (
    DELETE FROM runs AS r
    WHERE r.id = ANY (%(run_ids)s::uuid[])
        AND (r.state <> 'running' OR r.expires_at IS NULL OR r.expires_at < (SELECT clock_timestamp()))
    RETURNING r.id
)
SELECT count(*) FROM gone;

-- name: hold
-- Take or renew a named lease; no row where somebody else has it. A new token is drawn under the row's lock, so tokens
-- grow from holder to holder.
INSERT INTO leases AS l (name, holder, token, expires_at)
VALUES (
    %(name)s, %(holder)s, nextval('lease_tokens'), clock_timestamp() + make_interval(secs => %(lease)s)
)
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, expires_at = clock_timestamp() + make_interval(secs => %(lease)s),
    token = CASE
        WHEN l.holder = excluded.holder AND l.expires_at > clock_timestamp() THEN l.token
        ELSE nextval('lease_tokens')
    END
WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp()
RETURNING l.token;

-- name: let_go
-- Give a named lease back.
UPDATE leases AS l SET expires_at = clock_timestamp() WHERE l.name = %(name)s AND l.holder = %(holder)s;
