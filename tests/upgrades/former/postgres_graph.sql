-- name: checking.bucket_rows
SELECT m.user_id, m.id, m.digest, m.version
FROM unnest(%(lows)s::integer[], %(highs)s::integer[]) AS s (low, high)
CROSS JOIN LATERAL (
    SELECT m.user_id, m.id, m.digest, m.version
    FROM memories AS m
    WHERE true AND m.bucket >= s.low AND m.bucket < s.high AND m.digest IS NOT NULL
    OFFSET 0
) AS m;

-- name: checking.bucket_sums
SELECT
    m.bucket >> %(shift)s AS prefix, count(*),
    sum((m.digest >> 32)::integer), sum(((m.digest & 4294967295) - 2147483648)::integer),
    sum((m.version >> 32)::integer), sum(((m.version & 4294967295) - 2147483648)::integer)
FROM memories AS m
WHERE true AND m.bucket >= %(low)s AND m.bucket < %(high)s AND m.digest IS NOT NULL
GROUP BY 1;

-- name: checking.cut_lone
SELECT drop_lone(ARRAY(
    SELECT e.number
    FROM unnest(%(numbers)s::bigint[], %(user_ids)s::text[], %(types)s::text[], %(keys)s::text[])
        AS k (number, user_id, type, key)
    JOIN entities AS e ON e.number = k.number AND e.user_id = k.user_id AND e.type = k.type AND e.key = k.key
));

-- name: checking.cut_strays
SELECT cut_strays(%(numbers)s::bigint[], %(places)s::integer[], %(user_ids)s::text[], %(ids)s::text[]);

-- name: checking.heads
SELECT m.user_id, m.id, m.version, m.digest, m.digest IS NOT NULL
FROM unnest(%(user_ids)s::text[], %(ids)s::text[]) AS k (user_id, id)
CROSS JOIN LATERAL (
    SELECT l.user_id, l.id, l.version, l.digest FROM memories AS l
    WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
) AS m;

-- name: checking.loose_ends
WITH page AS MATERIALIZED (
    SELECT e.number, e.user_id, e.type, e.key
    FROM entities AS e
    WHERE true AND (e.user_id, e.type, e.key) > (%(after_user)s, %(after_type)s, %(after_key)s)
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

-- name: checking.still_lone
SELECT k.place
FROM unnest(%(numbers)s::bigint[], %(user_ids)s::text[], %(types)s::text[], %(keys)s::text[]) WITH ORDINALITY
    AS k (number, user_id, type, key, place)
JOIN entities AS e ON e.number = k.number AND e.user_id = k.user_id AND e.type = k.type AND e.key = k.key
WHERE NOT EXISTS (SELECT FROM mentions AS x WHERE x.entity = e.number)
    AND NOT EXISTS (SELECT FROM edges AS x WHERE x.source = e.number)
    AND NOT EXISTS (SELECT FROM edges AS x WHERE x.target = e.number);

-- name: checking.still_stray
SELECT k.place
FROM unnest(%(numbers)s::bigint[], %(places)s::integer[], %(user_ids)s::text[], %(ids)s::text[]) WITH ORDINALITY
    AS k (number, position, user_id, id, place)
JOIN memories AS m ON m.number = k.number AND m.user_id = k.user_id AND m.id = k.id
JOIN edges AS x ON x.memory = m.number AND x.position = k.position
WHERE x.position NOT BETWEEN 0 AND m.edges - 1;

-- name: checking.torn
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
WHERE true AND m.bucket >= %(low)s AND m.bucket < %(high)s
    AND (a.number <> m.mentions OR b.number <> m.edges OR (a.mark # b.mark) <> m.mark)
LIMIT %(limit)s;

-- name: checking.unstamped
WITH page AS MATERIALIZED (
    SELECT m.user_id, m.id, m.version, m.digest, m.generation
    FROM memories AS m
    WHERE true AND (m.user_id, m.id) > (%(after_user)s, %(after_id)s)
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

-- name: database.database_exists
SELECT EXISTS (SELECT FROM pg_database WHERE datname = %(name)s);

-- name: graph.apply
SELECT verdicts, versions_now, now_ms FROM apply_writes(
    %(not_after)s, %(user_ids)s, %(ids)s, %(versions)s, %(digests)s, %(buckets)s, %(forced)s, %(captions)s,
    %(agent_ids)s, %(run_ids)s, %(created)s, %(generations)s, %(mention_counts)s, %(edge_counts)s, %(entity_users)s,
    %(entity_types)s, %(entity_keys)s, %(m_rows)s, %(m_entities)s, %(m_names)s, %(m_properties)s, %(r_rows)s,
    %(r_positions)s, %(r_sources)s, %(r_types)s, %(r_targets)s, %(r_properties)s
);

-- name: graph.clear
SELECT removed, now_ms FROM clear_tenant(%(not_after)s::bigint, %(user_id)s, %(limit)s::integer);

-- name: graph.collect
SELECT collect_tombstones(%(user_ids)s::text[], %(ids)s::text[], %(versions)s::bigint[]);

-- name: graph.count_all
SELECT
    count(m.digest),
    count(*) - count(m.digest),
    (SELECT count(*) FROM (SELECT FROM entities LIMIT %(most)s) AS e),
    (SELECT reltuples::bigint FROM pg_class WHERE oid = 'memories'::regclass)
FROM (SELECT digest FROM memories LIMIT %(most)s) AS m;

-- name: graph.count_tenant
SELECT
    count(m.digest),
    count(*) - count(m.digest),
    (SELECT count(*) FROM (SELECT FROM entities WHERE user_id = %(user_id)s LIMIT %(most)s) AS e)
FROM (SELECT digest FROM memories WHERE user_id = %(user_id)s LIMIT %(most)s) AS m;

-- name: graph.entities
SELECT e.type, e.key, e.name FROM entities AS e
WHERE e.user_id = %(user_id)s AND (e.type, e.key) > (%(type)s, %(key)s)
ORDER BY e.type, e.key
LIMIT %(limit)s;

-- name: graph.mentioning
SELECT m.id
FROM (
    SELECT x.memory
    FROM mentions AS x
    WHERE x.entity = (
        SELECT e.number FROM entities AS e
        WHERE e.user_id = %(user_id)s AND e.type = %(type)s AND e.key = %(key)s
    )
    ORDER BY x.memory DESC
    LIMIT %(fan_out)s
) AS x
JOIN memories AS m ON m.number = x.memory
WHERE m.user_id = %(user_id)s AND m.digest IS NOT NULL
ORDER BY m.id
LIMIT %(limit)s;

-- name: graph.read
SELECT * FROM read_memories(%(user_ids)s::text[], %(ids)s::text[], %(locked)s);

-- name: graph.related
SELECT memory_id, distance, shared, via
FROM walk_related(
    %(user_id)s, %(ids)s::text[], %(depth)s::integer, %(limit)s::integer, %(fan_out)s::integer, %(frontier)s::integer
);

-- name: session.clock
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;

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
    set_config('enable_bitmapscan', 'off', false);

-- name: session.identity
SELECT
    'postgresql-' || c.system_identifier || '-' || d.oid || '-' || current_schema(), s.graph_id, s.truth_id
FROM pg_control_system() AS c
JOIN pg_database AS d ON d.datname = current_database()
LEFT JOIN store_info AS s ON true;

-- name: session.stamp
INSERT INTO store_info (graph_id, truth_id) VALUES (%(graph_id)s, %(truth_id)s) ON CONFLICT DO NOTHING;
