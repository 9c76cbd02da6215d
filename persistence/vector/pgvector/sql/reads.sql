-- name: read
-- What there is of these keys, in one snapshot.
SELECT {memory}, k.user_id, k.id, t.version
FROM unnest(%(user_ids)s::text[], %(ids)s::text[]) AS k (user_id, id)
LEFT JOIN LATERAL (SELECT * FROM memories AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1) AS m ON true
LEFT JOIN LATERAL (SELECT * FROM tombstones AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1) AS t ON true
WHERE m.id IS NOT NULL OR t.id IS NOT NULL;

-- name: page
-- A tenant's memories in the order of their ids.
SELECT {memory}
FROM memories AS m
WHERE m.user_id = %(user_id)s AND m.id > %(after)s AND {where}
ORDER BY m.id
LIMIT %(limit)s;

-- name: search
-- The nearest memories, by the vector index where the planner takes it.
SELECT {memory}, m.embedding <=> %(vector)s AS distance
FROM memories AS m
WHERE m.user_id = %(user_id)s AND {where}
ORDER BY m.embedding <=> %(vector)s, m.id
LIMIT %(limit)s;

-- name: search_half
-- The same over the index of halved floats; what it suggests is put in order by the floats themselves.
SELECT {memory}, m.embedding <=> %(vector)s AS distance
FROM (
    SELECT *
    FROM memories AS m
    WHERE m.user_id = %(user_id)s AND {where}
    ORDER BY m.embedding::halfvec({dimension}) <=> %(vector)s::halfvec({dimension})
    LIMIT %(limit)s * 2
) AS m
ORDER BY distance, m.id
LIMIT %(limit)s;

-- name: search_exact
-- The nearest memories without the vector index, which knows distances, but not sums.
SELECT {memory}, m.embedding <=> %(vector)s AS distance
FROM memories AS m
WHERE m.user_id = %(user_id)s AND {where}
ORDER BY (m.embedding <=> %(vector)s) + 0, m.id
LIMIT %(limit)s;

-- name: count
-- A tenant's memories, counted up to one above the bound.
SELECT count(*) FROM (SELECT FROM memories WHERE user_id = %(user_id)s LIMIT %(bound)s + 1) AS m;

-- name: count_all
-- All memories, counted up to one above the bound, and what the statistics say.
SELECT
    (SELECT count(*) FROM (SELECT FROM memories LIMIT %(bound)s + 1) AS m),
    (SELECT reltuples::bigint FROM pg_class WHERE oid = 'memories'::regclass);

-- name: changes
-- What of a tenant was committed from a position on, in the order of (transaction, kind, id), and the oldest
-- transaction that may still commit. A memory is kind 0, a tombstone 1.
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
SELECT {memory}, pg_snapshot_xmin(pg_current_snapshot())::text, c.changed::text, c.kind, c.id, c.version
FROM (VALUES (1)) AS once (upon)
LEFT JOIN changed AS c ON true
LEFT JOIN memories AS m ON c.kind = 0 AND m.user_id = %(user_id)s AND m.id = c.id
ORDER BY c.changed, c.kind, c.id;
