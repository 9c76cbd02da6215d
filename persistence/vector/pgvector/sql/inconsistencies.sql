-- name: held
-- The run, for whoever holds it; nobody takes it over before the statement ends.
SELECT r.id, clock_timestamp() AS moment
FROM runs AS r
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
FOR SHARE

-- name: record
-- Keep what a run found, in key order; what is open already is seen again. A slow statement of another run must not
-- set back the time of a later sight.
WITH held AS MATERIALIZED (
    {held}
), kept AS (
    INSERT INTO inconsistencies AS i (
        user_id, memory_id, kind, entity_id, entity_type, entity_key, depth, vector_version, graph_version, reason,
        run_id, first_seen, last_seen
    )
    SELECT k.*, held.id, held.moment, held.moment
    FROM held
    CROSS JOIN unnest(
        %(user_ids)s::text[], %(memory_ids)s::text[], %(kinds)s::text[], %(entity_ids)s::uuid[],
        %(entity_types)s::text[], %(entity_keys)s::text[], %(depths)s::text[], %(vector_versions)s::bigint[],
        %(graph_versions)s::bigint[], %(reasons)s::text[]
    ) AS k (
        user_id, memory_id, kind, entity_id, entity_type, entity_key, depth, vector_version, graph_version, reason
    )
    ORDER BY k.user_id COLLATE "C", k.memory_id COLLATE "C", k.kind COLLATE "C", k.entity_id
    ON CONFLICT (user_id, memory_id, kind, entity_id) WHERE resolved_at IS NULL DO UPDATE
    SET depth = excluded.depth, vector_version = excluded.vector_version, graph_version = excluded.graph_version,
        reason = excluded.reason, run_id = excluded.run_id, last_seen = greatest(i.last_seen, excluded.last_seen)
)
SELECT count(*) FROM held;

-- name: resolve
-- Mark what a run mended: whether the run is held, and how many were open. Locked in key order, as above.
WITH held AS MATERIALIZED (
    {held}
), there AS MATERIALIZED (
    SELECT i.number
    FROM held
    CROSS JOIN (
        SELECT *
        FROM unnest(%(user_ids)s::text[], %(memory_ids)s::text[], %(kinds)s::text[], %(entity_ids)s::uuid[])
            AS u (user_id, memory_id, kind, entity_id)
        ORDER BY u.user_id COLLATE "C", u.memory_id COLLATE "C", u.kind COLLATE "C", u.entity_id
    ) AS k
    CROSS JOIN LATERAL (
        SELECT l.number
        FROM inconsistencies AS l
        WHERE l.user_id = k.user_id AND l.memory_id = k.memory_id AND l.kind = k.kind AND l.entity_id = k.entity_id
            AND l.resolved_at IS NULL
        LIMIT 1
        FOR UPDATE
    ) AS i
), resolved AS (
    UPDATE inconsistencies AS i
    SET resolved_at = (SELECT moment FROM held), resolved_by = %(run_id)s
    WHERE i.number = ANY (ARRAY(SELECT number FROM there))
    RETURNING i.number
)
SELECT (SELECT count(*) FROM held), (SELECT count(*) FROM resolved);

-- name: resolve_unseen
-- Resolve what was not seen again among the next open ones in key order: whether the run is held, how many, the last
-- key looked at. Rows that are locked are being seen or resolved at this moment.
WITH held AS MATERIALIZED (
    {held}
), page AS MATERIALIZED (
    SELECT p.*
    FROM held
    CROSS JOIN LATERAL (
        SELECT l.number, l.user_id, l.memory_id, l.kind, l.entity_id, l.depth, l.last_seen
        FROM inconsistencies AS l
        WHERE {tenant} AND l.resolved_at IS NULL
            AND (l.user_id, l.memory_id, l.kind, l.entity_id)
                > (%(after_user)s, %(after_memory)s, %(after_kind)s, %(after_entity)s)
        ORDER BY l.user_id, l.memory_id, l.kind, l.entity_id
        LIMIT %(limit)s
    ) AS p
), unseen AS MATERIALIZED (
    SELECT l.number
    FROM inconsistencies AS l
    WHERE l.number = ANY (ARRAY(
            SELECT p.number FROM page AS p
            WHERE p.last_seen < %(since)s AND p.depth = ANY (%(depths)s::text[])
        ))
        AND l.last_seen < %(since)s AND l.resolved_at IS NULL
    FOR UPDATE SKIP LOCKED
), resolved AS (
    UPDATE inconsistencies AS i
    SET resolved_at = (SELECT moment FROM held), resolved_by = %(run_id)s
    WHERE i.number = ANY (ARRAY(SELECT number FROM unseen))
    RETURNING i.number
)
SELECT
    (SELECT count(*) FROM held), (SELECT count(*) FROM resolved),
    last.user_id, last.memory_id, last.kind, last.entity_id
FROM (VALUES (1)) AS once (upon)
LEFT JOIN (
    SELECT * FROM page ORDER BY user_id DESC, memory_id DESC, kind DESC, entity_id DESC LIMIT 1
) AS last ON true;

-- name: list
-- Inconsistencies in the order of their numbers: each kind, open or resolved, has its place in the index, so none is
-- read in vain. Rows are compared, not columns: else the planner, which does not know that a kind may be missing, walks
-- along the numbers of all kinds until it meets enough of one.
SELECT {recorded}
FROM unnest(%(kinds)s::text[]) AS k (kind)
CROSS JOIN unnest(%(open)s::boolean[]) AS s (open)
CROSS JOIN LATERAL (
    SELECT *
    FROM inconsistencies AS l
    WHERE ({of} l.kind, l.open, l.number) > ({this} k.kind, s.open, %(after)s)
        AND ({of} l.kind, l.open, l.number) <= ({this} k.kind, s.open, 9223372036854775807)
    ORDER BY {of} l.kind, l.open, l.number
    LIMIT %(limit)s
) AS i
ORDER BY i.number
LIMIT %(limit)s;

-- name: list_of_run
-- The same of what one run saw last.
SELECT {recorded}
FROM (
    SELECT *
    FROM inconsistencies AS l
    WHERE (l.run_id, l.number) > (%(run_id)s, %(after)s) AND (l.run_id, l.number) <= (%(run_id)s, 9223372036854775807)
        AND {tenant} AND l.kind = ANY (%(kinds)s::text[]) AND l.open = ANY (%(open)s::boolean[])
    ORDER BY l.run_id, l.number
    LIMIT %(limit)s
) AS i
ORDER BY i.number;

-- name: count_open
-- Open inconsistencies by kind, no more than the bound in all.
SELECT o.kind, count(*)
FROM (
    SELECT k.kind
    FROM unnest(%(kinds)s::text[]) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT FROM inconsistencies AS l WHERE {tenant} AND l.kind = k.kind AND l.open LIMIT %(bound)s
    ) AS l
    LIMIT %(bound)s
) AS o
GROUP BY o.kind;

-- name: remove
-- Remove what was found of a tenant, or of one of its memories.
WITH gone AS (
    DELETE FROM inconsistencies AS i
    WHERE i.number = ANY (ARRAY(
        SELECT l.number
        FROM inconsistencies AS l
        WHERE l.user_id = %(user_id)s AND (%(memory_id)s::text IS NULL OR l.memory_id = %(memory_id)s)
        LIMIT %(limit)s
    ))
    RETURNING i.number
)
SELECT count(*) FROM gone;

-- name: prune
-- Remove what was resolved long ago.
WITH gone AS (
    DELETE FROM inconsistencies AS i
    WHERE i.number = ANY (ARRAY(
        SELECT l.number
        FROM inconsistencies AS l
        WHERE l.resolved_at < (SELECT clock_timestamp() - make_interval(secs => %(age)s))
        ORDER BY l.resolved_at
        LIMIT %(limit)s
    ))
    RETURNING i.number
)
SELECT count(*) FROM gone;
