-- name: position
-- The newest change, and the newest tombstone that was collected.
SELECT {newest}, forgotten FROM store_info;

-- name: size
-- How many memories a tenant has.
SELECT count(*) FROM memories WHERE user_id = :user_id;

-- name: embeddings
-- A tenant's embeddings that changed since.
SELECT m.id, m.number, e.embedding
FROM memories AS m
JOIN embeddings AS e ON e.number = m.number
WHERE m.user_id = :user_id AND m.number > :after
ORDER BY m.number;

-- name: matching
-- A tenant's memories that pass a filter, with their embeddings.
SELECT m.id, m.number, e.embedding
FROM memories AS m
JOIN embeddings AS e ON e.number = m.number
WHERE m.user_id = :user_id AND {where}
ORDER BY m.number;

-- name: numbers
-- A tenant's memories that pass a filter.
SELECT m.number FROM memories AS m WHERE m.user_id = :user_id AND {where};

-- name: gone
-- A tenant's memories that were deleted since.
SELECT id FROM tombstones WHERE user_id = :user_id AND number > :after;

-- name: hit
-- A memory that was found.
SELECT {memory} FROM memories AS m LEFT JOIN embeddings AS e ON e.number = NULL WHERE m.number = ?;
