-- name: prepare
-- Lock memories and make room for what is newer; the places of that.
SELECT place FROM prepare_transfer(
    %(user_ids)s::text[], %(ids)s::text[], %(write_ids)s::uuid[], %(versions)s::bigint[], %(buckets)s::integer[],
    %(live)s::boolean[], %(graph)s, %(lease)s::double precision
) AS place;

-- name: tombstones
-- Tombstones of one tenant in the order of their ids.
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE t.user_id = %(user_id)s AND t.id > %(after_id)s
ORDER BY t.id
LIMIT %(limit)s;

-- name: tombstones_all
-- Tombstones of all tenants in key order.
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE (t.user_id, t.id) > (%(after_user)s, %(after_id)s)
ORDER BY t.user_id, t.id
LIMIT %(limit)s;

-- name: raise_floor
-- Raise the floor, if it is lower.
UPDATE store_info SET floor = %(floor)s WHERE floor < %(floor)s;
