-- name: write
-- Write one memory and its outbox entry in one round trip.
SELECT
    w.status, w.version, w.created_at, w.updated_at, w.tracked, {former}
FROM write_memory(
    %(user_id)s, %(id)s, %(agent_id)s, %(run_id)s, %(content)s, %(metadata)s, %(entities)s, %(relationships)s,
    %(extracted)s, %(embedding)s, %(digest)s, %(bucket)s::integer, %(created_at)s, %(write_id)s, %(mode)s,
    %(expected)s::bigint, %(graph)s, %(lease)s::double precision, %(want_former)s, %(above)s::bigint
) AS w;

-- name: prepare
-- Lock many memories and make room for their new versions.
SELECT place, status, todo, version, created_at, updated_at, tracked
FROM prepare_writes(
    %(user_ids)s::text[], %(ids)s::text[], %(write_ids)s::uuid[], %(mode)s, %(graph)s, %(lease)s::double precision
);

-- name: copy
-- Copy memories in, the fields in the order of rows.pack_write.
COPY memories (
    user_id, id, agent_id, run_id, content, metadata, entities, relationships, extracted, embedding, digest, bucket,
    write_id, version, created_at, updated_at
) FROM STDIN (FORMAT binary);

-- name: delete
-- Leave tombstones.
SELECT
    w.place, w.status, w.version, w.updated_at, w.tracked, {former}
FROM delete_memories(
    %(user_ids)s::text[], %(ids)s::text[], %(write_ids)s::uuid[], %(buckets)s::integer[], %(expected)s::bigint[], %(graph)s,
    %(lease)s::double precision, %(want_former)s, %(above)s::bigint[]
) AS w;

-- name: last_write
-- Which write made what is there.
SELECT write_id, version FROM last_write(%(user_id)s, %(id)s);
