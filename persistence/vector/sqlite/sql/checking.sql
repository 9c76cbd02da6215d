-- name: bucket_sums
-- Live memories by the first bits of their bucket: the sums of both halves of digest and version.
SELECT
    m.bucket >> :shift, count(*), sum(m.digest >> 32), sum(m.digest & 4294967295), sum(m.version >> 32),
    sum(m.version & 4294967295)
FROM memories AS m
WHERE m.bucket >= :low AND m.bucket < :high
GROUP BY 1;

-- name: bucket_sums_tenant
-- The same of one tenant.
SELECT
    m.bucket >> :shift, count(*), sum(m.digest >> 32), sum(m.digest & 4294967295), sum(m.version >> 32),
    sum(m.version & 4294967295)
FROM memories AS m
WHERE m.user_id = :user_id AND m.bucket >= :low AND m.bucket < :high
GROUP BY 1;

-- name: bucket_rows
-- The live memories of a span of buckets, without their content.
SELECT m.user_id, m.id, m.digest, m.version FROM memories AS m WHERE m.bucket >= :low AND m.bucket < :high;

-- name: bucket_rows_tenant
-- The same of one tenant.
SELECT m.user_id, m.id, m.digest, m.version
FROM memories AS m
WHERE m.user_id = :user_id AND m.bucket >= :low AND m.bucket < :high;

-- name: standing
-- How a key stands: memory, tombstone and outbox.
SELECT coalesce(m.version, t.version), m.digest, o.id IS NOT NULL
FROM (SELECT :user_id AS user_id, :id AS id) AS k
LEFT JOIN memories AS m ON m.user_id = k.user_id AND m.id = k.id
LEFT JOIN tombstones AS t ON t.user_id = k.user_id AND t.id = k.id
LEFT JOIN outbox AS o ON o.user_id = k.user_id AND o.id = k.id;

-- name: walk
-- Memories of all tenants in key order.
SELECT {memory}
FROM memories AS m
LEFT JOIN embeddings AS e ON :embeddings AND e.number = m.number
WHERE (m.user_id, m.id) > (:after_user, :after_id)
ORDER BY m.user_id, m.id
LIMIT :limit;

-- name: walk_tenant
-- Memories of one tenant in the order of their ids.
SELECT {memory}
FROM memories AS m
LEFT JOIN embeddings AS e ON :embeddings AND e.number = m.number
WHERE m.user_id = :user_id AND m.id > :after_id
ORDER BY m.id
LIMIT :limit;

-- name: enlist
-- List a memory in the outbox, claimed by the caller, unless it is listed.
INSERT INTO outbox (user_id, id, entry_id, version, attempts, created_at, due_at, claim, forced)
VALUES (:user_id, :id, :entry_id, :version, 1, :now, :due_at, :claim, 1)
ON CONFLICT (user_id, id) DO NOTHING;
