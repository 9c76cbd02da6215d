-- name: settle
-- Remove an entry that is still this one.
DELETE FROM outbox WHERE user_id = ? AND id = ? AND entry_id = ? AND version = ?;

-- name: release
-- End the writer's lease of an entry that no one has claimed.
UPDATE outbox SET due_at = min(due_at, ?)
WHERE user_id = ? AND id = ? AND entry_id = ? AND claim = 0 AND attempts = 0 AND dead_at IS NULL;

-- name: due
-- Due entries, oldest due first.
SELECT user_id, id FROM outbox WHERE dead_at IS NULL AND due_at <= :now ORDER BY due_at LIMIT :limit;

-- name: next_claim
-- Draw a claim's token.
UPDATE store_info SET claims = claims + 1 RETURNING claims;

-- name: claim
-- Take an entry; the attempt is counted.
UPDATE outbox AS o SET attempts = attempts + 1, claim = ?, disabled = 0, due_at = ?
WHERE user_id = ? AND id = ?
RETURNING {entry};

-- name: postpone
-- Give back an entry whose claim is still the one given.
UPDATE outbox SET claim = 0, reason = ?, attempts = max(attempts - ?, 0), due_at = ?, dead_at = ?
WHERE user_id = ? AND id = ? AND entry_id = ? AND claim = ? AND dead_at IS NULL;

-- name: stats
-- Pending and dead entries up to one above the bound, and since when the oldest of these pending ones is in doubt.
SELECT p.pending, d.dead, p.oldest, p.disabled
FROM (
    SELECT count(*) AS pending, min(created_at) AS oldest, coalesce(sum(disabled), 0) AS disabled
    FROM (SELECT created_at, disabled FROM outbox WHERE dead_at IS NULL ORDER BY due_at LIMIT :bound + 1)
) AS p
CROSS JOIN (
    SELECT count(*) AS dead FROM (SELECT 1 FROM outbox WHERE dead_at IS NOT NULL LIMIT :bound + 1)
) AS d;

-- name: stats_tenant
-- The same of one tenant, among its first entries up to one above the bound.
SELECT
    count(*) FILTER (WHERE dead_at IS NULL), count(*) FILTER (WHERE dead_at IS NOT NULL),
    min(created_at) FILTER (WHERE dead_at IS NULL), count(*) FILTER (WHERE disabled AND dead_at IS NULL)
FROM (SELECT created_at, disabled, dead_at FROM outbox WHERE user_id = :user_id ORDER BY id LIMIT :bound + 1);

-- name: oldest
-- Since when the oldest pending entry of all is in doubt.
SELECT min(created_at) FROM outbox WHERE dead_at IS NULL;

-- name: page
-- Entries in key order.
SELECT {entry}
FROM outbox AS o
WHERE (o.user_id, o.id) > (:after_user, :after_id) AND (:dead IS NULL OR (o.dead_at IS NOT NULL) = :dead)
ORDER BY o.user_id, o.id
LIMIT :limit;

-- name: page_tenant
-- Entries of one tenant in the order of their ids.
SELECT {entry}
FROM outbox AS o
WHERE o.user_id = :user_id AND :after_user <= :user_id
    AND o.id > CASE WHEN :after_user = :user_id THEN :after_id ELSE '' END
    AND (:dead IS NULL OR (o.dead_at IS NOT NULL) = :dead)
ORDER BY o.id
LIMIT :limit;

-- name: pending
-- The entry of a memory.
SELECT {entry} FROM outbox AS o WHERE o.user_id = ? AND o.id = ?;

-- name: revive
-- Make the dead entry of a memory due now.
UPDATE outbox SET dead_at = NULL, attempts = 0, claim = 0, due_at = ?
WHERE user_id = ? AND id = ? AND dead_at IS NOT NULL;

-- name: revive_all
-- Make all dead entries due now.
UPDATE outbox INDEXED BY outbox_dead SET dead_at = NULL, attempts = 0, claim = 0, due_at = :now
WHERE dead_at IS NOT NULL;

-- name: discard
-- Remove a dead entry.
DELETE FROM outbox
WHERE user_id = :user_id AND id = :id AND entry_id = :entry_id AND dead_at IS NOT NULL
RETURNING version, reason;

-- name: record_discarded
-- List what was discarded among the open inconsistencies.
INSERT INTO inconsistencies (user_id, memory_id, kind, vector_version, reason, first_seen, last_seen)
VALUES (:user_id, :id, 'discarded', :version, :reason, :now, :now)
ON CONFLICT (user_id, memory_id, kind, entity_type, entity_key) WHERE resolved_at IS NULL
DO UPDATE SET vector_version = excluded.vector_version, reason = excluded.reason, last_seen = excluded.last_seen;

-- name: next_due
-- When the next entry is due.
SELECT due_at FROM outbox WHERE dead_at IS NULL ORDER BY due_at LIMIT 1;

-- name: tombstones_due
-- Settled tombstones that are old enough.
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE t.deleted_at < :before
    AND NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.user_id = t.user_id AND o.id = t.id)
ORDER BY t.deleted_at
LIMIT :limit;

-- name: collect
-- Remove a tombstone that is still this one and settled.
DELETE FROM tombstones AS t
WHERE t.user_id = ? AND t.id = ? AND t.version = ?
    AND NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.user_id = t.user_id AND o.id = t.id)
RETURNING version, number;

-- name: raise_floor
-- Remember the highest version, and the newest change, of what was collected, in the same transaction.
UPDATE store_info SET floor = max(floor, :version), forgotten = max(forgotten, :number);
