-- name: try_lock_load
-- Become the one that puts the vector index off, or builds it; held by the session.
SELECT pg_try_advisory_lock(1685027186, 'memories'::regclass::oid::integer);

-- name: any_memory
-- Whether there is a memory.
SELECT EXISTS (SELECT FROM memories);

-- name: count_memories
-- How many memories there are: counted, since right after a load the statistics know but a part of them.
SELECT count(*) FROM memories;

-- name: vector_indexes
-- Every vector index, valid or left over by a build that died.
SELECT c.relname
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS a ON a.oid = c.relam
WHERE i.indrelid = 'memories'::regclass AND a.amname = 'hnsw';

-- name: build_settings
-- Give a build the memory (in kB) and the workers it can use.
SELECT
    set_config('maintenance_work_mem', %(memory)s, false),
    set_config('max_parallel_maintenance_workers', %(workers)s, false),
    set_config('statement_timeout', '0', false);

-- name: indexed
-- Whether there is a vector index that can be used.
SELECT EXISTS (
    SELECT FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_am AS a ON a.oid = c.relam
    WHERE i.indrelid = 'memories'::regclass AND a.amname = 'hnsw' AND i.indisvalid
);

-- name: analyse
-- Tell the planner what was loaded.
ANALYZE memories;
