-- name: held
-- Whether the run lies with whoever knows this token.
SELECT 1 FROM runs WHERE id = :run_id AND token = :token AND state = 'running';

-- name: record
-- Keep what a run found; what is open already is seen again.
INSERT INTO inconsistencies (
    user_id, memory_id, kind, entity_type, entity_key, depth, vector_version, graph_version, reason, run_id, first_seen,
    last_seen
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (user_id, memory_id, kind, entity_type, entity_key) WHERE resolved_at IS NULL DO UPDATE
SET depth = excluded.depth, vector_version = excluded.vector_version, graph_version = excluded.graph_version,
    reason = excluded.reason, run_id = excluded.run_id, last_seen = max(last_seen, excluded.last_seen);

-- name: resolve
-- Mark what a run mended, where it is open.
UPDATE inconsistencies SET resolved_at = ?, resolved_by = ?
WHERE user_id = ? AND memory_id = ? AND kind = ? AND entity_type = ? AND entity_key = ? AND resolved_at IS NULL;

-- name: open_page
-- The next open inconsistencies in key order.
SELECT number, depth, last_seen, user_id, memory_id, kind, entity_type, entity_key
FROM inconsistencies
WHERE resolved_at IS NULL
    AND (user_id, memory_id, kind, entity_type, entity_key)
        > (:after_user, :after_memory, :after_kind, :after_type, :after_key)
ORDER BY user_id, memory_id, kind, entity_type, entity_key
LIMIT :limit;

-- name: open_page_tenant
-- The same of one tenant.
SELECT number, depth, last_seen, user_id, memory_id, kind, entity_type, entity_key
FROM inconsistencies
WHERE user_id = :user_id AND resolved_at IS NULL
    AND (memory_id, kind, entity_type, entity_key) > (:after_memory, :after_kind, :after_type, :after_key)
ORDER BY memory_id, kind, entity_type, entity_key
LIMIT :limit;

-- name: resolve_number
-- Mark one as resolved.
UPDATE inconsistencies SET resolved_at = ?, resolved_by = ? WHERE number = ?;

-- name: list
-- Inconsistencies of a kind, open or resolved, in the order of their numbers.
SELECT {recorded}
FROM inconsistencies AS i
WHERE i.kind = :kind AND i.open = :open AND i.number > :after
ORDER BY i.number
LIMIT :limit;

-- name: list_tenant
-- The same of one tenant.
SELECT {recorded}
FROM inconsistencies AS i
WHERE i.user_id = :user_id AND i.kind = :kind AND i.open = :open AND i.number > :after
ORDER BY i.number
LIMIT :limit;

-- name: list_of_run
-- The same of what one run saw last.
SELECT {recorded}
FROM inconsistencies AS i INDEXED BY inconsistencies_run
WHERE i.run_id = :run_id AND i.number > :after AND (:user_id IS NULL OR i.user_id = :user_id)
    AND i.kind = :kind AND i.open = :open
ORDER BY i.number
LIMIT :limit;

-- name: count_open
-- Open inconsistencies of a kind, no more than the bound.
SELECT count(*) FROM (SELECT 1 FROM inconsistencies WHERE kind = :kind AND open = 1 LIMIT :bound);

-- name: count_open_tenant
-- The same of one tenant.
SELECT count(*)
FROM (SELECT 1 FROM inconsistencies WHERE user_id = :user_id AND kind = :kind AND open = 1 LIMIT :bound);

-- name: remove
-- Remove what was found of a tenant, or of one of its memories.
DELETE FROM inconsistencies
WHERE number IN (
    SELECT number FROM inconsistencies
    WHERE user_id = :user_id AND (:memory_id IS NULL OR memory_id = :memory_id)
    LIMIT :limit
);

-- name: prune
-- Remove what was resolved long ago.
DELETE FROM inconsistencies
WHERE number IN (
    SELECT number FROM inconsistencies WHERE resolved_at < :before ORDER BY resolved_at LIMIT :limit
);
