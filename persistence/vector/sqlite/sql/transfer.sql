-- name: tombstones
-- Tombstones of all tenants in key order.
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE (t.user_id, t.id) > (:after_user, :after_id)
ORDER BY t.user_id, t.id
LIMIT :limit;

-- name: tombstones_tenant
-- Tombstones of one tenant in the order of their ids.
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE t.user_id = :user_id AND t.id > :after_id
ORDER BY t.id
LIMIT :limit;

-- name: raise_floor
-- Raise the floor, if it is lower.
UPDATE store_info SET floor = max(floor, :floor);
