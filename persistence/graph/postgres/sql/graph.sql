-- name: apply
-- Apply writes of distinct memories.
SELECT verdicts, versions_now, now_ms FROM apply_writes(
    %(not_after)s, %(user_ids)s, %(ids)s, %(versions)s, %(digests)s, %(buckets)s, %(forced)s, %(captions)s,
    %(agent_ids)s, %(run_ids)s, %(created)s, %(generations)s, %(mention_counts)s, %(edge_counts)s, %(entity_users)s,
    %(entity_types)s, %(entity_keys)s, %(m_rows)s, %(m_entities)s, %(m_names)s, %(m_properties)s, %(r_rows)s,
    %(r_positions)s, %(r_sources)s, %(r_types)s, %(r_targets)s, %(r_properties)s
);

-- name: clear
-- Take some of a tenant's memories or entities away.
SELECT removed, now_ms FROM clear_tenant(%(not_after)s::bigint, %(user_id)s, %(limit)s::integer);

-- name: read
-- What the graph holds of memories.
SELECT * FROM read_memories(%(user_ids)s::text[], %(ids)s::text[], %(locked)s);

-- name: related
-- Memories reached from those named.
SELECT memory_id, distance, shared, via
FROM walk_related(
    %(user_id)s, %(ids)s::text[], %(depth)s::integer, %(limit)s::integer, %(fan_out)s::integer, %(frontier)s::integer
);

-- name: entities
-- A page of a tenant's entities.
SELECT e.type, e.key, e.name FROM entities AS e
WHERE e.user_id = %(user_id)s AND (e.type, e.key) > (%(type)s, %(key)s)
ORDER BY e.type, e.key
LIMIT %(limit)s;

-- name: mentioning
-- The live memories that mention an entity, among the newest of those that do.
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

-- name: count_tenant
-- One tenant's memories, tombstones and entities, no more than so many.
SELECT
    count(m.digest),
    count(*) - count(m.digest),
    (SELECT count(*) FROM (SELECT FROM entities WHERE user_id = %(user_id)s LIMIT %(most)s) AS e)
FROM (SELECT digest FROM memories WHERE user_id = %(user_id)s LIMIT %(most)s) AS m;

-- name: count_all
-- Everybody's, no more than so many, and how many memories and tombstones the statistics say that there are.
SELECT
    count(m.digest),
    count(*) - count(m.digest),
    (SELECT count(*) FROM (SELECT FROM entities LIMIT %(most)s) AS e),
    (SELECT reltuples::bigint FROM pg_class WHERE oid = 'memories'::regclass)
FROM (SELECT digest FROM memories LIMIT %(most)s) AS m;

-- name: collect
-- Remove tombstones that are still tombstones at no higher version.
SELECT collect_tombstones(%(user_ids)s::text[], %(ids)s::text[], %(versions)s::bigint[]);
