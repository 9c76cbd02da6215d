-- name: checking.bucket_rows
SELECT m.user_id, m.id, m.digest, m.version
FROM unnest(%(lows)s::integer[], %(highs)s::integer[]) AS s (low, high)
CROSS JOIN LATERAL (
    SELECT m.user_id, m.id, m.digest, m.version
    FROM memories AS m
    WHERE true AND m.bucket >= s.low AND m.bucket < s.high
    OFFSET 0
) AS m;

-- name: checking.bucket_sums
SELECT
    m.bucket >> %(shift)s AS prefix, count(*),
    sum((m.digest >> 32)::integer), sum(((m.digest & 4294967295) - 2147483648)::integer),
    sum((m.version >> 32)::integer), sum(((m.version & 4294967295) - 2147483648)::integer)
FROM memories AS m
WHERE true AND m.bucket >= %(low)s AND m.bucket < %(high)s
GROUP BY 1;

-- name: checking.enlist
SELECT o.user_id, o.id, o.entry_id, o.version, o.attempts, o.created_at, o.due_at, o.claim, o.dead_at IS NOT NULL, o.disabled, o.reason, o.forced FROM enlist_entries(
    %(user_ids)s::text[], %(ids)s::text[], %(entry_ids)s::uuid[], %(versions)s::bigint[], %(buckets)s::integer[],
    %(lease)s::double precision
) AS o;

-- name: checking.standings
SELECT k.user_id, k.id, coalesce(m.version, t.version), m.digest, o.listed IS NOT NULL
FROM unnest(%(user_ids)s::text[], %(ids)s::text[]) AS k (user_id, id)
LEFT JOIN LATERAL (
    SELECT l.version, l.digest FROM memories AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
) AS m ON true
LEFT JOIN LATERAL (
    SELECT l.version FROM tombstones AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
) AS t ON true
LEFT JOIN LATERAL (
    SELECT true AS listed FROM outbox AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
) AS o ON true;

-- name: checking.walk
SELECT "m"."id", "m"."user_id", "m"."agent_id", "m"."run_id", "m"."content", "m"."metadata", "m"."entities", "m"."relationships", "m"."extracted", NULL::vector, "m"."version", "m"."digest", "m"."created_at", "m"."updated_at"
FROM memories AS m
WHERE m.user_id = %(user_id)s AND m.id > %(after_id)s
ORDER BY m.id
LIMIT %(limit)s;

-- name: checking.walk_all
SELECT "m"."id", "m"."user_id", "m"."agent_id", "m"."run_id", "m"."content", "m"."metadata", "m"."entities", "m"."relationships", "m"."extracted", NULL::vector, "m"."version", "m"."digest", "m"."created_at", "m"."updated_at"
FROM memories AS m
WHERE (m.user_id, m.id) > (%(after_user)s, %(after_id)s)
ORDER BY m.user_id, m.id
LIMIT %(limit)s;

-- name: inconsistencies.count_open
SELECT o.kind, count(*)
FROM (
    SELECT k.kind
    FROM unnest(%(kinds)s::text[]) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT FROM inconsistencies AS l WHERE true AND l.kind = k.kind AND l.open LIMIT %(bound)s
    ) AS l
    LIMIT %(bound)s
) AS o
GROUP BY o.kind;

-- name: inconsistencies.list
SELECT i.number, i.user_id, i.memory_id, i.kind, i.depth, i.vector_version, i.graph_version, i.entity_type, i.entity_key, i.reason, i.run_id, i.first_seen, i.last_seen, i.resolved_at, i.resolved_by
FROM unnest(%(kinds)s::text[]) AS k (kind)
CROSS JOIN unnest(%(open)s::boolean[]) AS s (open)
CROSS JOIN LATERAL (
    SELECT *
    FROM inconsistencies AS l
    WHERE ( l.kind, l.open, l.number) > ( k.kind, s.open, %(after)s)
        AND ( l.kind, l.open, l.number) <= ( k.kind, s.open, 9223372036854775807)
    ORDER BY  l.kind, l.open, l.number
    LIMIT %(limit)s
) AS i
ORDER BY i.number
LIMIT %(limit)s;

-- name: inconsistencies.list_of_run
SELECT i.number, i.user_id, i.memory_id, i.kind, i.depth, i.vector_version, i.graph_version, i.entity_type, i.entity_key, i.reason, i.run_id, i.first_seen, i.last_seen, i.resolved_at, i.resolved_by
FROM (
    SELECT *
    FROM inconsistencies AS l
    WHERE (l.run_id, l.number) > (%(run_id)s, %(after)s) AND (l.run_id, l.number) <= (%(run_id)s, 9223372036854775807)
        AND true AND l.kind = ANY (%(kinds)s::text[]) AND l.open = ANY (%(open)s::boolean[])
    ORDER BY l.run_id, l.number
    LIMIT %(limit)s
) AS i
ORDER BY i.number;

-- name: inconsistencies.prune
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

-- name: inconsistencies.record
WITH held AS MATERIALIZED (
SELECT r.id, clock_timestamp() AS moment
FROM runs AS r
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
FOR SHARE
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

-- name: inconsistencies.remove
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

-- name: inconsistencies.resolve
WITH held AS MATERIALIZED (
SELECT r.id, clock_timestamp() AS moment
FROM runs AS r
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
FOR SHARE
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

-- name: inconsistencies.resolve_unseen
WITH held AS MATERIALIZED (
SELECT r.id, clock_timestamp() AS moment
FROM runs AS r
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
FOR SHARE
), page AS MATERIALIZED (
    SELECT p.*
    FROM held
    CROSS JOIN LATERAL (
        SELECT l.number, l.user_id, l.memory_id, l.kind, l.entity_id, l.depth, l.last_seen
        FROM inconsistencies AS l
        WHERE true AND l.resolved_at IS NULL
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

-- name: outbox.claim
SELECT o.user_id, o.id, o.entry_id, o.version, o.attempts, o.created_at, o.due_at, o.claim, o.dead_at IS NOT NULL, o.disabled, o.reason, o.forced FROM claim_entries(%(limit)s::integer, %(lease)s) AS o;

-- name: outbox.collect
SELECT collect_tombstones(%(user_ids)s::text[], %(ids)s::text[], %(versions)s::bigint[]);

-- name: outbox.discard
WITH gone AS (
    DELETE FROM outbox
    WHERE user_id = %(user_id)s AND id = %(id)s AND entry_id = %(entry_id)s AND dead_at IS NOT NULL
    RETURNING user_id, id, version, reason
)
INSERT INTO inconsistencies (user_id, memory_id, kind, vector_version, reason)
SELECT user_id, id, 'discarded', version, reason FROM gone
ON CONFLICT (user_id, memory_id, kind, entity_id) WHERE resolved_at IS NULL
DO UPDATE SET vector_version = excluded.vector_version, reason = excluded.reason, last_seen = clock_timestamp();

-- name: outbox.next_due
SELECT extract(epoch FROM due_at - clock_timestamp())::double precision
FROM outbox
WHERE dead_at IS NULL
ORDER BY due_at
LIMIT 1;

-- name: outbox.oldest
SELECT extract(epoch FROM clock_timestamp() - min(created_at))::double precision FROM outbox WHERE dead_at IS NULL;

-- name: outbox.page
SELECT o.user_id, o.id, o.entry_id, o.version, o.attempts, o.created_at, o.due_at, o.claim, o.dead_at IS NOT NULL, o.disabled, o.reason, o.forced
FROM outbox AS o
WHERE (o.user_id, o.id) > (%(after_user)s, %(after_id)s)
    AND (%(user_id)s::text IS NULL OR o.user_id = %(user_id)s)
    AND (%(dead)s::boolean IS NULL OR (o.dead_at IS NOT NULL) = %(dead)s)
ORDER BY o.user_id, o.id
LIMIT %(limit)s;

-- name: outbox.pending
SELECT o.user_id, o.id, o.entry_id, o.version, o.attempts, o.created_at, o.due_at, o.claim, o.dead_at IS NOT NULL, o.disabled, o.reason, o.forced
FROM unnest(%(user_ids)s::text[], %(ids)s::text[]) AS k (user_id, id)
CROSS JOIN LATERAL (SELECT * FROM outbox AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1) AS o;

-- name: outbox.postpone
SELECT postpone_entries(
    %(user_ids)s::text[], %(ids)s::text[], %(entry_ids)s::uuid[], %(claims)s::bigint[],
    %(delays)s::double precision[], %(reasons)s::text[], %(give_back)s::boolean[], %(dead)s::boolean[]
);

-- name: outbox.release
SELECT release_entries(%(user_ids)s::text[], %(ids)s::text[], %(entry_ids)s::uuid[]);

-- name: outbox.revive
SELECT revive_entries(%(user_ids)s::text[], %(ids)s::text[]);

-- name: outbox.revive_all
SELECT coalesce(revive_entries(array_agg(user_id), array_agg(id)), 0) FROM outbox WHERE dead_at IS NOT NULL;

-- name: outbox.settle
SELECT settle_entries(%(user_ids)s::text[], %(ids)s::text[], %(entry_ids)s::uuid[], %(versions)s::bigint[]);

-- name: outbox.stats
SELECT p.pending, d.dead, extract(epoch FROM clock_timestamp() - p.oldest)::double precision, p.disabled
FROM (
    SELECT count(*) AS pending, min(created_at) AS oldest, count(*) FILTER (WHERE disabled) AS disabled
    FROM (
        SELECT created_at, disabled FROM outbox WHERE dead_at IS NULL ORDER BY due_at LIMIT %(bound)s + 1
    ) AS entries
) AS p
CROSS JOIN (
    SELECT count(*) AS dead FROM (SELECT FROM outbox WHERE dead_at IS NOT NULL LIMIT %(bound)s + 1) AS entries
) AS d;

-- name: outbox.stats_tenant
SELECT
    count(*) FILTER (WHERE dead_at IS NULL), count(*) FILTER (WHERE dead_at IS NOT NULL),
    extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE dead_at IS NULL))::double precision,
    count(*) FILTER (WHERE disabled AND dead_at IS NULL)
FROM (
    SELECT created_at, disabled, dead_at FROM outbox WHERE user_id = %(user_id)s ORDER BY id LIMIT %(bound)s + 1
) AS entries;

-- name: outbox.tombstones_due
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE t.deleted_at < clock_timestamp() - make_interval(secs => %(age)s)
    AND NOT EXISTS (SELECT FROM outbox AS o WHERE o.user_id = t.user_id AND o.id = t.id)
ORDER BY t.deleted_at
LIMIT %(limit)s;

-- name: reads.changes
WITH changed AS (
    (
        SELECT m.changed, 0 AS kind, m.id, NULL::bigint AS version
        FROM memories AS m
        WHERE m.user_id = %(user_id)s AND (m.changed, m.id) > (%(memory_from)s::xid8, %(memory_after)s)
        ORDER BY m.changed, m.id
        LIMIT %(limit)s
    )
    UNION ALL
    (
        SELECT t.changed, 1, t.id, t.version
        FROM tombstones AS t
        WHERE t.user_id = %(user_id)s AND (t.changed, t.id) > (%(tombstone_from)s::xid8, %(tombstone_after)s)
        ORDER BY t.changed, t.id
        LIMIT %(limit)s
    )
    ORDER BY 1, 2, 3
    LIMIT %(limit)s
)
SELECT "m"."id", "m"."user_id", "m"."agent_id", "m"."run_id", "m"."content", "m"."metadata", "m"."entities", "m"."relationships", "m"."extracted", NULL::vector, "m"."version", "m"."digest", "m"."created_at", "m"."updated_at", pg_snapshot_xmin(pg_current_snapshot())::text, c.changed::text, c.kind, c.id, c.version
FROM (VALUES (1)) AS once (upon)
LEFT JOIN changed AS c ON true
LEFT JOIN memories AS m ON c.kind = 0 AND m.user_id = %(user_id)s AND m.id = c.id
ORDER BY c.changed, c.kind, c.id;

-- name: reads.count
SELECT count(*) FROM (SELECT FROM memories WHERE user_id = %(user_id)s LIMIT %(bound)s + 1) AS m;

-- name: reads.count_all
SELECT
    (SELECT count(*) FROM (SELECT FROM memories LIMIT %(bound)s + 1) AS m),
    (SELECT reltuples::bigint FROM pg_class WHERE oid = 'memories'::regclass);

-- name: reads.page
SELECT "m"."id", "m"."user_id", "m"."agent_id", "m"."run_id", "m"."content", "m"."metadata", "m"."entities", "m"."relationships", "m"."extracted", NULL::vector, "m"."version", "m"."digest", "m"."created_at", "m"."updated_at"
FROM memories AS m
WHERE m.user_id = %(user_id)s AND m.id > %(after)s AND true
ORDER BY m.id
LIMIT %(limit)s;

-- name: reads.read
SELECT "m"."id", "m"."user_id", "m"."agent_id", "m"."run_id", "m"."content", "m"."metadata", "m"."entities", "m"."relationships", "m"."extracted", NULL::vector, "m"."version", "m"."digest", "m"."created_at", "m"."updated_at", k.user_id, k.id, t.version
FROM unnest(%(user_ids)s::text[], %(ids)s::text[]) AS k (user_id, id)
LEFT JOIN LATERAL (SELECT * FROM memories AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1) AS m ON true
LEFT JOIN LATERAL (SELECT * FROM tombstones AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1) AS t ON true
WHERE m.id IS NOT NULL OR t.id IS NOT NULL;

-- name: reads.search
SELECT "m"."id", "m"."user_id", "m"."agent_id", "m"."run_id", "m"."content", "m"."metadata", "m"."entities", "m"."relationships", "m"."extracted", NULL::vector, "m"."version", "m"."digest", "m"."created_at", "m"."updated_at", m.embedding <=> %(vector)s AS distance
FROM memories AS m
WHERE m.user_id = %(user_id)s AND (jsonb_typeof((m.metadata -> %(filter_0)s::text)) = 'number' AND (m.metadata -> %(filter_0)s::text) >= %(filter_1)s::jsonb)
ORDER BY m.embedding <=> %(vector)s, m.id
LIMIT %(limit)s;

-- name: reads.search_exact
SELECT "m"."id", "m"."user_id", "m"."agent_id", "m"."run_id", "m"."content", "m"."metadata", "m"."entities", "m"."relationships", "m"."extracted", NULL::vector, "m"."version", "m"."digest", "m"."created_at", "m"."updated_at", m.embedding <=> %(vector)s AS distance
FROM memories AS m
WHERE m.user_id = %(user_id)s AND (jsonb_typeof((m.metadata -> %(filter_0)s::text)) = 'number' AND (m.metadata -> %(filter_0)s::text) >= %(filter_1)s::jsonb)
ORDER BY (m.embedding <=> %(vector)s) + 0, m.id
LIMIT %(limit)s;

-- name: runs.begin
SELECT b.verdict, r.id, r.kind, r.user_id, r.state, r.request::text, r.cursor::text, r.report::text, r.token, r.attempts, r.cancel_requested, r.started_at, r.updated_at, r.finished_at, r.expires_at
FROM begin_run(%(kind)s, %(user_id)s, %(request)s::jsonb, %(holder)s, %(lease)s::double precision) AS b
CROSS JOIN LATERAL (SELECT (b.run).*) AS r;

-- name: runs.cancel
SELECT r.id, r.kind, r.user_id, r.state, r.request::text, r.cursor::text, r.report::text, r.token, r.attempts, r.cancel_requested, r.started_at, r.updated_at, r.finished_at, r.expires_at FROM cancel_run(%(run_id)s) AS r;

-- name: runs.finish
UPDATE runs AS r
SET state = %(state)s, report = %(report)s::jsonb, holder = NULL, expires_at = NULL, updated_at = clock_timestamp(),
    finished_at = CASE WHEN %(state)s <> 'interrupted' THEN clock_timestamp() END
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
RETURNING r.id, r.kind, r.user_id, r.state, r.request::text, r.cursor::text, r.report::text, r.token, r.attempts, r.cancel_requested, r.started_at, r.updated_at, r.finished_at, r.expires_at;

-- name: runs.hold
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

-- name: runs.last_checks
SELECT r.id, r.kind, r.user_id, r.state, r.request::text, r.cursor::text, r.report::text, r.token, r.attempts, r.cancel_requested, r.started_at, r.updated_at, r.finished_at, r.expires_at
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

-- name: runs.let_go
UPDATE leases AS l SET expires_at = clock_timestamp() WHERE l.name = %(name)s AND l.holder = %(holder)s;

-- name: runs.list
SELECT r.id, r.kind, r.user_id, r.state, r.request::text, r.cursor::text, r.report::text, r.token, r.attempts, r.cancel_requested, r.started_at, r.updated_at, r.finished_at, r.expires_at
FROM (
    SELECT l.id
    FROM unnest(%(kinds)s::text[]) AS k (kind)
    CROSS JOIN unnest(%(states)s::text[]) AS s (state)
    CROSS JOIN LATERAL (
        SELECT l.id
        FROM runs AS l
        WHERE ( l.kind, l.state, l.id) < ( k.kind, s.state, %(before)s)
            AND ( l.kind, l.state, l.id) >= ( k.kind, s.state, '00000000-0000-0000-0000-000000000000')
        ORDER BY l.kind DESC, l.state DESC, l.id DESC
        LIMIT %(limit)s
    ) AS l
    ORDER BY l.id DESC
    LIMIT %(limit)s
) AS n
CROSS JOIN LATERAL (SELECT * FROM runs AS l WHERE l.id = n.id LIMIT 1) AS r
ORDER BY r.id DESC;

-- name: runs.one
SELECT r.id, r.kind, r.user_id, r.state, r.request::text, r.cursor::text, r.report::text, r.token, r.attempts, r.cancel_requested, r.started_at, r.updated_at, r.finished_at, r.expires_at FROM runs AS r WHERE r.id = %(run_id)s;

-- name: runs.prune
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

-- name: runs.remove
WITH gone AS (
    DELETE FROM runs AS r
    WHERE r.id = ANY (%(run_ids)s::uuid[])
        AND (r.state <> 'running' OR r.expires_at IS NULL OR r.expires_at < (SELECT clock_timestamp()))
    RETURNING r.id
)
SELECT count(*) FROM gone;

-- name: runs.renew
UPDATE runs AS r
SET expires_at = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
RETURNING r.cancel_requested;

-- name: runs.resume
SELECT b.verdict, r.id, r.kind, r.user_id, r.state, r.request::text, r.cursor::text, r.report::text, r.token, r.attempts, r.cancel_requested, r.started_at, r.updated_at, r.finished_at, r.expires_at
FROM resume_run(%(run_id)s, %(holder)s, %(lease)s::double precision) AS b
CROSS JOIN LATERAL (SELECT (b.run).*) AS r;

-- name: runs.save
UPDATE runs AS r
SET cursor = %(cursor)s::jsonb, updated_at = clock_timestamp(),
    expires_at = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE r.id = %(run_id)s AND r.token = %(token)s AND r.state = 'running'
RETURNING r.cancel_requested;

-- name: runs.totals
SELECT
    count(*) FILTER (WHERE r.kind <> 'rebuild'),
    sum(coalesce(r.report ->> 'repaired', r.report #>> '{repair,repaired}')::bigint)::bigint,
    count(*) FILTER (WHERE r.kind = 'rebuild'),
    sum((r.report ->> 'memories')::bigint)::bigint
FROM runs AS r
WHERE r.kind IN ('repair', 'full', 'rebuild') AND r.state = 'done' AND r.request ->> 'dry_run' = 'false';

-- name: schema.bind_model
UPDATE store_info SET embedding_model = %(model)s, dimension = %(dimension)s WHERE dimension IS NULL;

-- name: schema.create_extension
CREATE EXTENSION IF NOT EXISTS vector;

-- name: schema.extension
SELECT e.extversion, n.nspname, t.oid::bigint
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
JOIN pg_type AS t ON t.typnamespace = n.oid AND t.typname = 'vector'
WHERE e.extname = 'vector';

-- name: schema.extension_available
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector');

-- name: schema.graph
SELECT graph_id, graph_database_id FROM store_info;

-- name: schema.info
SELECT
    s.store_id, (SELECT max(version) FROM schema_migrations) AS schema_version, s.embedding_model, s.dimension,
    s.floor, s.graph_id, s.graph_database_id,
    EXISTS (
        SELECT FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        JOIN pg_am AS a ON a.oid = c.relam
        WHERE i.indrelid = 'memories'::regclass AND a.amname = 'hnsw' AND i.indisvalid
    ) AS indexed
FROM store_info AS s;

-- name: schema.list_everything
WITH next AS MATERIALIZED (
    SELECT user_id, id, version
    FROM (
        (
            SELECT user_id, id, version FROM memories
            WHERE (user_id, id) > (%(after_user)s, %(after_id)s) ORDER BY user_id, id LIMIT %(limit)s
        )
        UNION ALL
        (
            SELECT user_id, id, version FROM tombstones
            WHERE (user_id, id) > (%(after_user)s, %(after_id)s) ORDER BY user_id, id LIMIT %(limit)s
        )
    ) AS both_kinds
    ORDER BY user_id, id
    LIMIT %(limit)s
), listed AS (
    INSERT INTO outbox AS o (user_id, id, entry_id, version, due_at)
    SELECT user_id, id, gen_random_uuid(), version, clock_timestamp() FROM next ORDER BY user_id, id
    ON CONFLICT (user_id, id) DO UPDATE
    SET entry_id = excluded.entry_id, version = greatest(o.version, excluded.version), attempts = 0, claim = 0,
        disabled = false, dead_at = NULL, due_at = excluded.due_at
)
SELECT user_id, id FROM next ORDER BY user_id DESC, id DESC LIMIT 1;

-- name: schema.lock_graph
SELECT pg_advisory_xact_lock(1685027185, 'store_info'::regclass::oid::integer);

-- name: schema.register_graph
UPDATE store_info SET graph_id = %(graph_id)s, graph_database_id = %(database_id)s
WHERE graph_id IS NULL
    OR (graph_id = %(former_graph_id)s::uuid AND graph_database_id = %(former_database_id)s::text);

-- name: session.begin_still
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: session.bitmaps
SELECT set_config('enable_bitmapscan', 'on', true);

-- name: session.configure
SELECT
    set_config('search_path', %(search_path)s, false),
    set_config('TimeZone', 'UTC', false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('statement_timeout', %(timeout)s, false),
    set_config('idle_in_transaction_session_timeout', %(timeout)s, false),
    set_config('jit', 'off', false),
    set_config('enable_seqscan', 'off', false),
    set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false),
    set_config('enable_bitmapscan', 'off', false),
    set_config('hnsw.iterative_scan', 'strict_order', false),
    set_config('hnsw.ef_search', '100', false);

-- name: session.stay
SELECT set_config('idle_in_transaction_session_timeout', %(pause)s, true);

-- name: session.timeout
SELECT set_config('statement_timeout', %(timeout)s, false);

-- name: transfer.prepare
SELECT place FROM prepare_transfer(
    %(user_ids)s::text[], %(ids)s::text[], %(write_ids)s::uuid[], %(versions)s::bigint[], %(buckets)s::integer[],
    %(live)s::boolean[], %(graph)s, %(lease)s::double precision
) AS place;

-- name: transfer.raise_floor
UPDATE store_info SET floor = %(floor)s WHERE floor < %(floor)s;

-- name: transfer.tombstones
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE t.user_id = %(user_id)s AND t.id > %(after_id)s
ORDER BY t.id
LIMIT %(limit)s;

-- name: transfer.tombstones_all
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE (t.user_id, t.id) > (%(after_user)s, %(after_id)s)
ORDER BY t.user_id, t.id
LIMIT %(limit)s;

-- name: writes.copy
COPY memories (
    user_id, id, agent_id, run_id, content, metadata, entities, relationships, extracted, embedding, digest, bucket,
    write_id, version, created_at, updated_at
) FROM STDIN (FORMAT binary);

-- name: writes.delete
SELECT
    w.place, w.status, w.version, w.updated_at, w.tracked, (w.former)."id", (w.former)."user_id", (w.former)."agent_id", (w.former)."run_id", (w.former)."content", (w.former)."metadata", (w.former)."entities", (w.former)."relationships", (w.former)."extracted", (w.former)."embedding", (w.former)."version", (w.former)."digest", (w.former)."created_at", (w.former)."updated_at"
FROM delete_memories(
    %(user_ids)s::text[], %(ids)s::text[], %(write_ids)s::uuid[], %(buckets)s::integer[], %(expected)s::bigint[], %(graph)s,
    %(lease)s::double precision, %(want_former)s, %(above)s::bigint[]
) AS w;

-- name: writes.last_write
SELECT write_id, version FROM last_write(%(user_id)s, %(id)s);

-- name: writes.prepare
SELECT place, status, todo, version, created_at, updated_at, tracked
FROM prepare_writes(
    %(user_ids)s::text[], %(ids)s::text[], %(write_ids)s::uuid[], %(mode)s, %(graph)s, %(lease)s::double precision
);

-- name: writes.write
SELECT
    w.status, w.version, w.created_at, w.updated_at, w.tracked, (w.former)."id", (w.former)."user_id", (w.former)."agent_id", (w.former)."run_id", (w.former)."content", (w.former)."metadata", (w.former)."entities", (w.former)."relationships", (w.former)."extracted", (w.former)."embedding", (w.former)."version", (w.former)."digest", (w.former)."created_at", (w.former)."updated_at"
FROM write_memory(
    %(user_id)s, %(id)s, %(agent_id)s, %(run_id)s, %(content)s, %(metadata)s, %(entities)s, %(relationships)s,
    %(extracted)s, %(embedding)s, %(digest)s, %(bucket)s::integer, %(created_at)s, %(write_id)s, %(mode)s,
    %(expected)s::bigint, %(graph)s, %(lease)s::double precision, %(want_former)s, %(above)s::bigint
) AS w;
