-- name: extension
-- The installed extension: its version, its schema, the type's oid.
SELECT e.extversion, n.nspname, t.oid::bigint
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
JOIN pg_type AS t ON t.typnamespace = n.oid AND t.typname = 'vector'
WHERE e.extname = 'vector';

-- name: extension_available
-- Whether the server has the extension's files.
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector');

-- name: create_extension
-- Install the extension into the first schema of the search path, which is not ours.
CREATE EXTENSION IF NOT EXISTS vector;

-- name: info
-- What the truth says of itself. The vector index counts when it can be used.
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

-- name: bind_model
-- Record the model of the embeddings, if none is recorded.
UPDATE store_info SET embedding_model = %(model)s, dimension = %(dimension)s WHERE dimension IS NULL;

-- name: lock_graph
-- Wait for writes that have seen no graph, and keep others from looking until the transaction ends.
SELECT pg_advisory_xact_lock(1685027185, 'store_info'::regclass::oid::integer);

-- name: register_graph
-- Record the truth's graph if none is recorded, or if the one recorded still is the former one.
UPDATE store_info SET graph_id = %(graph_id)s, graph_database_id = %(database_id)s
WHERE graph_id IS NULL
    OR (graph_id = %(former_graph_id)s::uuid AND graph_database_id = %(former_database_id)s::text);

-- name: graph
-- The graph recorded.
SELECT graph_id, graph_database_id FROM store_info;

-- name: list_everything
-- List the next memories and tombstones in the outbox. Entries that are there get a new id, so that whoever was about to settle one
-- (for another graph, perhaps) misses it.
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
