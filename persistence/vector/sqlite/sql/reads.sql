-- name: memory
-- What there is of a key that lives.
SELECT {memory}
FROM memories AS m
LEFT JOIN embeddings AS e ON :embeddings AND e.number = m.number
WHERE m.user_id = :user_id AND m.id = :id;

-- name: tombstone
-- What there is of a key that was deleted.
SELECT user_id, id, version FROM tombstones WHERE user_id = :user_id AND id = :id;

-- name: page
-- A tenant's memories in the order of their ids.
SELECT {memory}
FROM memories AS m
LEFT JOIN embeddings AS e ON :embeddings AND e.number = m.number
WHERE m.user_id = :user_id AND m.id > :after AND {where}
ORDER BY m.id
LIMIT :limit;

-- name: count
-- A tenant's memories, counted up to one above the bound.
SELECT count(*) FROM (SELECT 1 FROM memories WHERE user_id = :user_id LIMIT :bound + 1);

-- name: count_all
-- All memories, counted up to one above the bound.
SELECT count(*) FROM (SELECT 1 FROM memories LIMIT :bound + 1);

-- name: newest
-- The number of the newest change that this snapshot holds.
SELECT {newest} FROM store_info;

-- name: changed_memories
-- A tenant's memories that changed since, in the order of their changes.
SELECT {memory}, m.number
FROM memories AS m
LEFT JOIN embeddings AS e ON e.number = NULL
WHERE m.user_id = :user_id AND m.number > :after
ORDER BY m.number
LIMIT :limit;

-- name: changed_tombstones
-- A tenant's memories that were deleted since, in the order of their changes.
SELECT user_id, id, version, number
FROM tombstones
WHERE user_id = :user_id AND number > :after
ORDER BY number
LIMIT :limit;
