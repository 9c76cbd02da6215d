-- name: settle
-- Remove entries that are still these.
SELECT settle_entries(%(user_ids)s::text[], %(ids)s::text[], %(entry_ids)s::uuid[], %(versions)s::bigint[]);

-- name: release
-- End the writer's lease of entries that no one has claimed.
SELECT release_entries(%(user_ids)s::text[], %(ids)s::text[], %(entry_ids)s::uuid[]);

-- name: claim
-- Take due entries, oldest due first.
SELECT {entry} FROM claim_entries(%(limit)s::integer, %(lease)s) AS o;

-- name: postpone
-- Give back entries whose claim is still ours.
SELECT postpone_entries(
    %(user_ids)s::text[], %(ids)s::text[], %(entry_ids)s::uuid[], %(claims)s::bigint[],
    %(delays)s::double precision[], %(reasons)s::text[], %(give_back)s::boolean[], %(dead)s::boolean[]
);

-- name: stats
-- Pending and dead entries up to one above the bound, and how old the oldest of these pending ones is, in seconds.
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

-- name: stats_tenant
-- The same of one tenant, among its first entries up to one above the bound.
SELECT
    count(*) FILTER (WHERE dead_at IS NULL), count(*) FILTER (WHERE dead_at IS NOT NULL),
    extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE dead_at IS NULL))::double precision,
    count(*) FILTER (WHERE disabled AND dead_at IS NULL)
FROM (
    SELECT created_at, disabled, dead_at FROM outbox WHERE user_id = %(user_id)s ORDER BY id LIMIT %(bound)s + 1
) AS entries;

-- name: oldest
-- The age of the oldest pending entry of all, in seconds.
SELECT extract(epoch FROM clock_timestamp() - min(created_at))::double precision FROM outbox WHERE dead_at IS NULL;

-- name: page
-- Entries in key order.
SELECT {entry}
FROM outbox AS o
WHERE (o.user_id, o.id) > (%(after_user)s, %(after_id)s)
    AND (%(user_id)s::text IS NULL OR o.user_id = %(user_id)s)
    AND (%(dead)s::boolean IS NULL OR (o.dead_at IS NOT NULL) = %(dead)s)
ORDER BY o.user_id, o.id
LIMIT %(limit)s;

-- name: pending
-- The entries of these memories.
SELECT {entry}
FROM unnest(%(user_ids)s::text[], %(ids)s::text[]) AS k (user_id, id)
CROSS JOIN LATERAL (SELECT * FROM outbox AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1) AS o;

-- name: revive
-- Make dead entries of these memories due now.
SELECT revive_entries(%(user_ids)s::text[], %(ids)s::text[]);

-- name: revive_all
-- Make all dead entries due now.
SELECT coalesce(revive_entries(array_agg(user_id), array_agg(id)), 0) FROM outbox WHERE dead_at IS NOT NULL;

-- name: discard
-- Move a dead entry to the open inconsistencies.
WITH gone AS (
    DELETE FROM outbox
    WHERE user_id = %(user_id)s AND id = %(id)s AND entry_id = %(entry_id)s AND dead_at IS NOT NULL
    RETURNING user_id, id, version, reason
)
INSERT INTO inconsistencies (user_id, memory_id, kind, vector_version, reason)
SELECT user_id, id, 'discarded', version, reason FROM gone
ON CONFLICT (user_id, memory_id, kind, entity_id) WHERE resolved_at IS NULL
DO UPDATE SET vector_version = excluded.vector_version, reason = excluded.reason, last_seen = clock_timestamp();

-- name: next_due
-- Seconds until the next entry is due.
SELECT extract(epoch FROM due_at - clock_timestamp())::double precision
FROM outbox
WHERE dead_at IS NULL
ORDER BY due_at
LIMIT 1;

-- name: tombstones_due
-- Settled tombstones that are old enough.
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE t.deleted_at < clock_timestamp() - make_interval(secs => %(age)s)
    AND NOT EXISTS (SELECT FROM outbox AS o WHERE o.user_id = t.user_id AND o.id = t.id)
ORDER BY t.deleted_at
LIMIT %(limit)s;

-- name: collect
-- Remove tombstones that are still these and settled, and raise the floor.
SELECT collect_tombstones(%(user_ids)s::text[], %(ids)s::text[], %(versions)s::bigint[]);
