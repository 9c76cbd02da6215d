-- name: bucket_sums
-- Live memories by the first bits of their bucket: the sums of both halves of digest and version. The lower halves are
-- summed less 2^31, so that all are sums of integers: those of bigints are numeric, and cost three times as much.
SELECT
    m.bucket >> %(shift)s AS prefix, count(*),
    sum((m.digest >> 32)::integer), sum(((m.digest & 4294967295) - 2147483648)::integer),
    sum((m.version >> 32)::integer), sum(((m.version & 4294967295) - 2147483648)::integer)
FROM memories AS m
WHERE {tenant} AND m.bucket >= %(low)s AND m.bucket < %(high)s AND m.digest IS NOT NULL
GROUP BY 1;

-- name: bucket_rows
-- The live memories of some spans of buckets.
SELECT m.user_id, m.id, m.digest, m.version
FROM unnest(%(lows)s::integer[], %(highs)s::integer[]) AS s (low, high)
CROSS JOIN LATERAL (
    SELECT m.user_id, m.id, m.digest, m.version
    FROM memories AS m
    WHERE {tenant} AND m.bucket >= s.low AND m.bucket < s.high AND m.digest IS NOT NULL
    OFFSET 0
) AS m;

-- name: heads
-- The versions of memories, tombstones included.
SELECT m.user_id, m.id, m.version, m.digest, m.digest IS NOT NULL
FROM unnest(%(user_ids)s::text[], %(ids)s::text[]) AS k (user_id, id)
CROSS JOIN LATERAL (
    SELECT l.user_id, l.id, l.version, l.digest FROM memories AS l
    WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
) AS m;

-- name: torn
-- Memories of a span whose mentions and relationships are not those that their row remembers. Relationships that it does
-- not remember at all are found at the entities.
SELECT m.user_id, m.id
FROM memories AS m
CROSS JOIN LATERAL (
    SELECT count(*) AS number, coalesce(bit_xor(e.mark), 0) AS mark
    FROM mentions AS x JOIN entities AS e ON e.number = x.entity
    WHERE x.memory = m.number
) AS a
CROSS JOIN LATERAL (
    SELECT count(*) AS number, coalesce(bit_xor(edge_mark(x.position, s.mark, x.type, t.mark)), 0) AS mark
    FROM edges AS x JOIN entities AS s ON s.number = x.source JOIN entities AS t ON t.number = x.target
    WHERE x.memory = m.number AND x.position BETWEEN 0 AND m.edges - 1
) AS b
WHERE {tenant} AND m.bucket >= %(low)s AND m.bucket < %(high)s
    AND (a.number <> m.mentions OR b.number <> m.edges OR (a.mark # b.mark) <> m.mark)
LIMIT %(limit)s;

-- name: loose_ends
-- A page of entities in key order: how many, the last of them, those without any edge, and the relationships that start
-- at them in the name of a memory that does not remember them.
WITH page AS MATERIALIZED (
    SELECT e.number, e.user_id, e.type, e.key
    FROM entities AS e
    WHERE {tenant} AND (e.user_id, e.type, e.key) > (%(after_user)s, %(after_type)s, %(after_key)s)
    ORDER BY e.user_id, e.type, e.key
    LIMIT %(limit)s
)
SELECT
    (SELECT count(*) FROM page),
    (
        SELECT json_build_array(p.user_id, p.type, p.key) FROM page AS p
        ORDER BY p.user_id DESC, p.type DESC, p.key DESC LIMIT 1
    ),
    (
        SELECT json_agg(json_build_array(o.number::text, o.user_id, o.type, o.key))
        FROM page AS o
        WHERE NOT EXISTS (SELECT FROM mentions AS x WHERE x.entity = o.number)
            AND NOT EXISTS (SELECT FROM edges AS x WHERE x.source = o.number)
            AND NOT EXISTS (SELECT FROM edges AS x WHERE x.target = o.number)
    ),
    (
        SELECT json_agg(json_build_array(s.memory || ':' || s.position, s.user_id, s.id, s.type))
        FROM (
            SELECT x.memory, x.position, m.user_id, m.id, x.type
            FROM page AS p
            JOIN edges AS x ON x.source = p.number
            JOIN memories AS m ON m.number = x.memory
            WHERE x.position NOT BETWEEN 0 AND m.edges - 1
            LIMIT %(most)s
        ) AS s
    );

-- name: still_stray
-- Which of these relationships are still in the name of a memory that does not remember them, by their place in the list.
SELECT k.place
FROM unnest(%(numbers)s::bigint[], %(places)s::integer[], %(user_ids)s::text[], %(ids)s::text[]) WITH ORDINALITY
    AS k (number, position, user_id, id, place)
JOIN memories AS m ON m.number = k.number AND m.user_id = k.user_id AND m.id = k.id
JOIN edges AS x ON x.memory = m.number AND x.position = k.position
WHERE x.position NOT BETWEEN 0 AND m.edges - 1;

-- name: still_lone
-- Which of these entities are still there, and still without any edge, by their place in the list.
SELECT k.place
FROM unnest(%(numbers)s::bigint[], %(user_ids)s::text[], %(types)s::text[], %(keys)s::text[]) WITH ORDINALITY
    AS k (number, user_id, type, key, place)
JOIN entities AS e ON e.number = k.number AND e.user_id = k.user_id AND e.type = k.type AND e.key = k.key
WHERE NOT EXISTS (SELECT FROM mentions AS x WHERE x.entity = e.number)
    AND NOT EXISTS (SELECT FROM edges AS x WHERE x.source = e.number)
    AND NOT EXISTS (SELECT FROM edges AS x WHERE x.target = e.number);

-- name: cut_strays
-- Remove relationships that are still in the name of a memory that does not remember them.
SELECT cut_strays(%(numbers)s::bigint[], %(places)s::integer[], %(user_ids)s::text[], %(ids)s::text[]);

-- name: cut_lone
-- Remove entities that are still without any edge.
SELECT drop_lone(ARRAY(
    SELECT e.number
    FROM unnest(%(numbers)s::bigint[], %(user_ids)s::text[], %(types)s::text[], %(keys)s::text[])
        AS k (number, user_id, type, key)
    JOIN entities AS e ON e.number = k.number AND e.user_id = k.user_id AND e.type = k.type AND e.key = k.key
));

-- name: unstamped
-- A page of memories in key order: the live ones of another generation, and the last one, each with how many there are.
WITH page AS MATERIALIZED (
    SELECT m.user_id, m.id, m.version, m.digest, m.generation
    FROM memories AS m
    WHERE {tenant} AND (m.user_id, m.id) > (%(after_user)s, %(after_id)s)
    ORDER BY m.user_id, m.id
    LIMIT %(limit)s
), numbered AS (
    SELECT
        p.*, p.digest IS NOT NULL AND p.generation IS DISTINCT FROM %(generation)s::bigint AS wanted,
        row_number() OVER (ORDER BY p.user_id, p.id) AS place, count(*) OVER () AS seen
    FROM page AS p
)
SELECT n.user_id, n.id, n.version, n.digest, n.wanted, n.seen
FROM numbered AS n
WHERE n.wanted OR n.place = n.seen
ORDER BY n.place;
