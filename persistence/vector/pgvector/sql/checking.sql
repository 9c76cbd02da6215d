-- name: bucket_sums
-- Live memories by the first bits of their bucket: the sums of both halves of digest and version. The lower halves are
-- summed less 2^31, so that all are sums of integers: those of bigints are numeric, and cost three times as much.
SELECT
    m.bucket >> %(shift)s AS prefix, count(*),
    sum((m.digest >> 32)::integer), sum(((m.digest & 4294967295) - 2147483648)::integer),
    sum((m.version >> 32)::integer), sum(((m.version & 4294967295) - 2147483648)::integer)
FROM memories AS m
WHERE {tenant} AND m.bucket >= %(low)s AND m.bucket < %(high)s
GROUP BY 1;

-- name: bucket_rows
-- The live memories of some spans of buckets, without their content.
SELECT m.user_id, m.id, m.digest, m.version
FROM unnest(%(lows)s::integer[], %(highs)s::integer[]) AS s (low, high)
CROSS JOIN LATERAL (
    SELECT m.user_id, m.id, m.digest, m.version
    FROM memories AS m
    WHERE {tenant} AND m.bucket >= s.low AND m.bucket < s.high
    OFFSET 0
) AS m;

-- name: standings
-- How keys stand: memory, tombstone and outbox in one snapshot.
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

-- name: walk
-- Memories of one tenant in the order of their ids.
SELECT {memory}
FROM memories AS m
WHERE m.user_id = %(user_id)s AND m.id > %(after_id)s
ORDER BY m.id
LIMIT %(limit)s;

-- name: walk_all
-- Memories of all tenants in key order.
SELECT {memory}
FROM memories AS m
WHERE (m.user_id, m.id) > (%(after_user)s, %(after_id)s)
ORDER BY m.user_id, m.id
LIMIT %(limit)s;

-- name: enlist
-- List memories in the outbox, claimed by the caller.
SELECT {entry} FROM enlist_entries(
    %(user_ids)s::text[], %(ids)s::text[], %(entry_ids)s::uuid[], %(versions)s::bigint[], %(buckets)s::integer[],
    %(lease)s::double precision
) AS o;
