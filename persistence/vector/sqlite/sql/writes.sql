-- name: store
-- What a write has to know of the store.
SELECT floor, graph_id IS NOT NULL, {newest} FROM store_info;

-- name: found
-- What there is of some keys of a tenant, in the order given.
SELECT
    m.number, m.version, m.write_id, m.created_at, m.updated_at, t.number, t.version, t.write_id, t.deleted_at,
    o.entry_id
FROM json_each(:ids) AS k
LEFT JOIN memories AS m ON m.user_id = :user_id AND m.id = k.value
LEFT JOIN tombstones AS t ON t.user_id = :user_id AND t.id = k.value
LEFT JOIN outbox AS o ON o.user_id = :user_id AND o.id = k.value
ORDER BY k.key;

-- name: former
-- A memory that is about to be replaced or deleted.
SELECT {memory}
FROM memories AS m
LEFT JOIN embeddings AS e ON e.number = m.number
WHERE m.number = ?;

-- name: drop_memory
-- Remove a memory.
DELETE FROM memories WHERE number = ?;

-- name: drop_embedding
-- Remove its embedding.
DELETE FROM embeddings WHERE number = ?;

-- name: drop_tombstone
-- Remove a tombstone.
DELETE FROM tombstones WHERE number = ?;

-- name: put_memory
-- Store a memory, the fields in the order of rows.Packed, then what only the write lock tells.
INSERT INTO memories (
    user_id, id, agent_id, run_id, content, metadata, entities, relationships, extracted, digest, bucket, write_id,
    number, version, created_at, updated_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: put_embedding
-- Store its embedding.
INSERT INTO embeddings (number, embedding) VALUES (?, ?);

-- name: put_tombstone
-- Leave a tombstone.
INSERT INTO tombstones (number, user_id, id, version, bucket, write_id, deleted_at) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: put_entry
-- List a memory in the outbox; another write's entry becomes this one's, due again, alive again.
INSERT INTO outbox (user_id, id, entry_id, version, created_at, due_at, disabled) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (user_id, id) DO UPDATE
SET entry_id = excluded.entry_id, version = excluded.version, attempts = 0, claim = 0, dead_at = NULL, reason = NULL,
    disabled = excluded.disabled, due_at = excluded.due_at;

-- name: last_write
-- Which write made what is there.
SELECT write_id, version FROM memories WHERE user_id = :user_id AND id = :id
UNION ALL
SELECT write_id, version FROM tombstones WHERE user_id = :user_id AND id = :id;
