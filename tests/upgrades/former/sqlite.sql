-- name: checking.bucket_rows
SELECT m.user_id, m.id, m.digest, m.version FROM memories AS m WHERE m.bucket >= :low AND m.bucket < :high;

-- name: checking.bucket_rows_tenant
SELECT m.user_id, m.id, m.digest, m.version
FROM memories AS m
WHERE m.user_id = :user_id AND m.bucket >= :low AND m.bucket < :high;

-- name: checking.bucket_sums
SELECT
    m.bucket >> :shift, count(*), sum(m.digest >> 32), sum(m.digest & 4294967295), sum(m.version >> 32),
    sum(m.version & 4294967295)
FROM memories AS m
WHERE m.bucket >= :low AND m.bucket < :high
GROUP BY 1;

-- name: checking.bucket_sums_tenant
SELECT
    m.bucket >> :shift, count(*), sum(m.digest >> 32), sum(m.digest & 4294967295), sum(m.version >> 32),
    sum(m.version & 4294967295)
FROM memories AS m
WHERE m.user_id = :user_id AND m.bucket >= :low AND m.bucket < :high
GROUP BY 1;

-- name: checking.enlist
INSERT INTO outbox (user_id, id, entry_id, version, attempts, created_at, due_at, claim, forced)
VALUES (:user_id, :id, :entry_id, :version, 1, :now, :due_at, :claim, 1)
ON CONFLICT (user_id, id) DO NOTHING;

-- name: checking.standing
SELECT coalesce(m.version, t.version), m.digest, o.id IS NOT NULL
FROM (SELECT :user_id AS user_id, :id AS id) AS k
LEFT JOIN memories AS m ON m.user_id = k.user_id AND m.id = k.id
LEFT JOIN tombstones AS t ON t.user_id = k.user_id AND t.id = k.id
LEFT JOIN outbox AS o ON o.user_id = k.user_id AND o.id = k.id;

-- name: checking.walk
SELECT m.id, m.user_id, m.agent_id, m.run_id, m.content, m.metadata, m.entities, m.relationships, m.extracted, e.embedding, m.version, m.digest, m.created_at, m.updated_at
FROM memories AS m
LEFT JOIN embeddings AS e ON :embeddings AND e.number = m.number
WHERE (m.user_id, m.id) > (:after_user, :after_id)
ORDER BY m.user_id, m.id
LIMIT :limit;

-- name: checking.walk_tenant
SELECT m.id, m.user_id, m.agent_id, m.run_id, m.content, m.metadata, m.entities, m.relationships, m.extracted, e.embedding, m.version, m.digest, m.created_at, m.updated_at
FROM memories AS m
LEFT JOIN embeddings AS e ON :embeddings AND e.number = m.number
WHERE m.user_id = :user_id AND m.id > :after_id
ORDER BY m.id
LIMIT :limit;

-- name: inconsistencies.count_open
SELECT count(*) FROM (SELECT 1 FROM inconsistencies WHERE kind = :kind AND open = 1 LIMIT :bound);

-- name: inconsistencies.count_open_tenant
SELECT count(*)
FROM (SELECT 1 FROM inconsistencies WHERE user_id = :user_id AND kind = :kind AND open = 1 LIMIT :bound);

-- name: inconsistencies.held
SELECT 1 FROM runs WHERE id = :run_id AND token = :token AND state = 'running';

-- name: inconsistencies.list
SELECT number, user_id, memory_id, kind, depth, vector_version, graph_version, entity_type, entity_key, reason, run_id, first_seen, last_seen, resolved_at, resolved_by
FROM inconsistencies AS i
WHERE i.kind = :kind AND i.open = :open AND i.number > :after
ORDER BY i.number
LIMIT :limit;

-- name: inconsistencies.list_of_run
SELECT number, user_id, memory_id, kind, depth, vector_version, graph_version, entity_type, entity_key, reason, run_id, first_seen, last_seen, resolved_at, resolved_by
FROM inconsistencies AS i INDEXED BY inconsistencies_run
WHERE i.run_id = :run_id AND i.number > :after AND (:user_id IS NULL OR i.user_id = :user_id)
    AND i.kind = :kind AND i.open = :open
ORDER BY i.number
LIMIT :limit;

-- name: inconsistencies.list_tenant
SELECT number, user_id, memory_id, kind, depth, vector_version, graph_version, entity_type, entity_key, reason, run_id, first_seen, last_seen, resolved_at, resolved_by
FROM inconsistencies AS i
WHERE i.user_id = :user_id AND i.kind = :kind AND i.open = :open AND i.number > :after
ORDER BY i.number
LIMIT :limit;

-- name: inconsistencies.open_page
SELECT number, depth, last_seen, user_id, memory_id, kind, entity_type, entity_key
FROM inconsistencies
WHERE resolved_at IS NULL
    AND (user_id, memory_id, kind, entity_type, entity_key)
        > (:after_user, :after_memory, :after_kind, :after_type, :after_key)
ORDER BY user_id, memory_id, kind, entity_type, entity_key
LIMIT :limit;

-- name: inconsistencies.open_page_tenant
SELECT number, depth, last_seen, user_id, memory_id, kind, entity_type, entity_key
FROM inconsistencies
WHERE user_id = :user_id AND resolved_at IS NULL
    AND (memory_id, kind, entity_type, entity_key) > (:after_memory, :after_kind, :after_type, :after_key)
ORDER BY memory_id, kind, entity_type, entity_key
LIMIT :limit;

-- name: inconsistencies.prune
DELETE FROM inconsistencies
WHERE number IN (
    SELECT number FROM inconsistencies WHERE resolved_at < :before ORDER BY resolved_at LIMIT :limit
);

-- name: inconsistencies.record
INSERT INTO inconsistencies (
    user_id, memory_id, kind, entity_type, entity_key, depth, vector_version, graph_version, reason, run_id, first_seen,
    last_seen
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (user_id, memory_id, kind, entity_type, entity_key) WHERE resolved_at IS NULL DO UPDATE
SET depth = excluded.depth, vector_version = excluded.vector_version, graph_version = excluded.graph_version,
    reason = excluded.reason, run_id = excluded.run_id, last_seen = max(last_seen, excluded.last_seen);

-- name: inconsistencies.remove
DELETE FROM inconsistencies
WHERE number IN (
    SELECT number FROM inconsistencies
    WHERE user_id = :user_id AND (:memory_id IS NULL OR memory_id = :memory_id)
    LIMIT :limit
);

-- name: inconsistencies.resolve
UPDATE inconsistencies SET resolved_at = ?, resolved_by = ?
WHERE user_id = ? AND memory_id = ? AND kind = ? AND entity_type = ? AND entity_key = ? AND resolved_at IS NULL;

-- name: inconsistencies.resolve_number
UPDATE inconsistencies SET resolved_at = ?, resolved_by = ? WHERE number = ?;

-- name: outbox.claim
UPDATE outbox AS o SET attempts = attempts + 1, claim = ?, disabled = 0, due_at = ?
WHERE user_id = ? AND id = ?
RETURNING user_id, id, entry_id, version, attempts, created_at, due_at, claim, dead_at IS NOT NULL, disabled, reason, forced;

-- name: outbox.collect
DELETE FROM tombstones AS t
WHERE t.user_id = ? AND t.id = ? AND t.version = ?
    AND NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.user_id = t.user_id AND o.id = t.id)
RETURNING version, number;

-- name: outbox.discard
DELETE FROM outbox
WHERE user_id = :user_id AND id = :id AND entry_id = :entry_id AND dead_at IS NOT NULL
RETURNING version, reason;

-- name: outbox.due
SELECT user_id, id FROM outbox WHERE dead_at IS NULL AND due_at <= :now ORDER BY due_at LIMIT :limit;

-- name: outbox.next_claim
UPDATE store_info SET claims = claims + 1 RETURNING claims;

-- name: outbox.next_due
SELECT due_at FROM outbox WHERE dead_at IS NULL ORDER BY due_at LIMIT 1;

-- name: outbox.oldest
SELECT min(created_at) FROM outbox WHERE dead_at IS NULL;

-- name: outbox.page
SELECT user_id, id, entry_id, version, attempts, created_at, due_at, claim, dead_at IS NOT NULL, disabled, reason, forced
FROM outbox AS o
WHERE (o.user_id, o.id) > (:after_user, :after_id) AND (:dead IS NULL OR (o.dead_at IS NOT NULL) = :dead)
ORDER BY o.user_id, o.id
LIMIT :limit;

-- name: outbox.page_tenant
SELECT user_id, id, entry_id, version, attempts, created_at, due_at, claim, dead_at IS NOT NULL, disabled, reason, forced
FROM outbox AS o
WHERE o.user_id = :user_id AND :after_user <= :user_id
    AND o.id > CASE WHEN :after_user = :user_id THEN :after_id ELSE '' END
    AND (:dead IS NULL OR (o.dead_at IS NOT NULL) = :dead)
ORDER BY o.id
LIMIT :limit;

-- name: outbox.pending
SELECT user_id, id, entry_id, version, attempts, created_at, due_at, claim, dead_at IS NOT NULL, disabled, reason, forced FROM outbox AS o WHERE o.user_id = ? AND o.id = ?;

-- name: outbox.postpone
UPDATE outbox SET claim = 0, reason = ?, attempts = max(attempts - ?, 0), due_at = ?, dead_at = ?
WHERE user_id = ? AND id = ? AND entry_id = ? AND claim = ? AND dead_at IS NULL;

-- name: outbox.raise_floor
UPDATE store_info SET floor = max(floor, :version), forgotten = max(forgotten, :number);

-- name: outbox.record_discarded
INSERT INTO inconsistencies (user_id, memory_id, kind, vector_version, reason, first_seen, last_seen)
VALUES (:user_id, :id, 'discarded', :version, :reason, :now, :now)
ON CONFLICT (user_id, memory_id, kind, entity_type, entity_key) WHERE resolved_at IS NULL
DO UPDATE SET vector_version = excluded.vector_version, reason = excluded.reason, last_seen = excluded.last_seen;

-- name: outbox.release
UPDATE outbox SET due_at = min(due_at, ?)
WHERE user_id = ? AND id = ? AND entry_id = ? AND claim = 0 AND attempts = 0 AND dead_at IS NULL;

-- name: outbox.revive
UPDATE outbox SET dead_at = NULL, attempts = 0, claim = 0, due_at = ?
WHERE user_id = ? AND id = ? AND dead_at IS NOT NULL;

-- name: outbox.revive_all
UPDATE outbox INDEXED BY outbox_dead SET dead_at = NULL, attempts = 0, claim = 0, due_at = :now
WHERE dead_at IS NOT NULL;

-- name: outbox.settle
DELETE FROM outbox WHERE user_id = ? AND id = ? AND entry_id = ? AND version = ?;

-- name: outbox.stats
SELECT p.pending, d.dead, p.oldest, p.disabled
FROM (
    SELECT count(*) AS pending, min(created_at) AS oldest, coalesce(sum(disabled), 0) AS disabled
    FROM (SELECT created_at, disabled FROM outbox WHERE dead_at IS NULL ORDER BY due_at LIMIT :bound + 1)
) AS p
CROSS JOIN (
    SELECT count(*) AS dead FROM (SELECT 1 FROM outbox WHERE dead_at IS NOT NULL LIMIT :bound + 1)
) AS d;

-- name: outbox.stats_tenant
SELECT
    count(*) FILTER (WHERE dead_at IS NULL), count(*) FILTER (WHERE dead_at IS NOT NULL),
    min(created_at) FILTER (WHERE dead_at IS NULL), count(*) FILTER (WHERE disabled AND dead_at IS NULL)
FROM (SELECT created_at, disabled, dead_at FROM outbox WHERE user_id = :user_id ORDER BY id LIMIT :bound + 1);

-- name: outbox.tombstones_due
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE t.deleted_at < :before
    AND NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.user_id = t.user_id AND o.id = t.id)
ORDER BY t.deleted_at
LIMIT :limit;

-- name: reads.changed_memories
SELECT m.id, m.user_id, m.agent_id, m.run_id, m.content, m.metadata, m.entities, m.relationships, m.extracted, e.embedding, m.version, m.digest, m.created_at, m.updated_at, m.number
FROM memories AS m
LEFT JOIN embeddings AS e ON e.number = NULL
WHERE m.user_id = :user_id AND m.number > :after
ORDER BY m.number
LIMIT :limit;

-- name: reads.changed_tombstones
SELECT user_id, id, version, number
FROM tombstones
WHERE user_id = :user_id AND number > :after
ORDER BY number
LIMIT :limit;

-- name: reads.count
SELECT count(*) FROM (SELECT 1 FROM memories WHERE user_id = :user_id LIMIT :bound + 1);

-- name: reads.count_all
SELECT count(*) FROM (SELECT 1 FROM memories LIMIT :bound + 1);

-- name: reads.memory
SELECT m.id, m.user_id, m.agent_id, m.run_id, m.content, m.metadata, m.entities, m.relationships, m.extracted, e.embedding, m.version, m.digest, m.created_at, m.updated_at
FROM memories AS m
LEFT JOIN embeddings AS e ON :embeddings AND e.number = m.number
WHERE m.user_id = :user_id AND m.id = :id;

-- name: reads.newest
SELECT max(forgotten, coalesce((SELECT max(number) FROM memories), 0), coalesce((SELECT max(number) FROM tombstones), 0), coalesce((SELECT max(number) FROM embeddings), 0)) FROM store_info;

-- name: reads.tombstone
SELECT user_id, id, version FROM tombstones WHERE user_id = :user_id AND id = :id;

-- name: runs.ask_to_stop
UPDATE runs SET cancel_requested = 1, updated_at = :now
WHERE id = :id AND state = 'running' AND expires_at > :now;

-- name: runs.begin
INSERT INTO runs AS r (id, kind, user_id, depth, state, request, token, holder, started_at, updated_at, expires_at)
VALUES (:id, :kind, :user_id, :depth, 'running', :request, :token, :holder, :now, :now, :expires_at)
RETURNING id, kind, user_id, state, request, cursor, report, token, attempts, cancel_requested, started_at, updated_at, finished_at, expires_at;

-- name: runs.cancel
UPDATE runs
SET state = 'cancelled', cancel_requested = 1, holder = NULL, expires_at = NULL, updated_at = :now, finished_at = :now
WHERE id = :id AND (state = 'interrupted' OR (state = 'running' AND expires_at <= :now));

-- name: runs.finish
UPDATE runs AS r
SET state = :state, report = :report, holder = NULL, expires_at = NULL, updated_at = :now,
    finished_at = CASE WHEN :state <> 'interrupted' THEN :now END
WHERE id = :id AND token = :token AND state = 'running'
RETURNING id, kind, user_id, state, request, cursor, report, token, attempts, cancel_requested, started_at, updated_at, finished_at, expires_at;

-- name: runs.hold
INSERT INTO leases (name, holder, token, expires_at) VALUES (:name, :holder, :token, :expires_at)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, token = excluded.token, expires_at = excluded.expires_at;

-- name: runs.in_the_way
SELECT id, kind, user_id, state, request, cursor, report, token, attempts, cancel_requested, started_at, updated_at, finished_at, expires_at
FROM runs AS r
WHERE r.kind = :kind AND r.state = 'running' AND (:user_id = '' OR r.user_id IN ('', :user_id)) AND r.expires_at > :now
ORDER BY r.id
LIMIT 1;

-- name: runs.last_done
SELECT id, kind, user_id, state, request, cursor, report, token, attempts, cancel_requested, started_at, updated_at, finished_at, expires_at FROM runs AS r WHERE r.state = 'done' AND r.kind = :kind AND r.depth = :depth ORDER BY r.id DESC LIMIT 1;

-- name: runs.lease
SELECT holder, token, expires_at FROM leases WHERE name = :name;

-- name: runs.let_go
UPDATE leases SET expires_at = :now WHERE name = :name AND holder = :holder;

-- name: runs.list
SELECT id, kind, user_id, state, request, cursor, report, token, attempts, cancel_requested, started_at, updated_at, finished_at, expires_at FROM runs AS r WHERE r.kind = :kind AND r.state = :state AND r.id < :before ORDER BY r.id DESC LIMIT :limit;

-- name: runs.list_tenant
SELECT id, kind, user_id, state, request, cursor, report, token, attempts, cancel_requested, started_at, updated_at, finished_at, expires_at
FROM runs AS r
WHERE r.user_id = :user_id AND r.kind = :kind AND r.state = :state AND r.id < :before
ORDER BY r.id DESC
LIMIT :limit;

-- name: runs.make_way
UPDATE runs SET state = 'interrupted', holder = NULL, expires_at = NULL, updated_at = :now
WHERE kind = :kind AND state = 'running' AND (:user_id = '' OR user_id IN ('', :user_id));

-- name: runs.next_token
UPDATE store_info SET lease_tokens = lease_tokens + 1 RETURNING lease_tokens;

-- name: runs.one
SELECT id, kind, user_id, state, request, cursor, report, token, attempts, cancel_requested, started_at, updated_at, finished_at, expires_at FROM runs AS r WHERE r.id = :id;

-- name: runs.prune
DELETE FROM runs
WHERE id IN (
    SELECT l.id
    FROM runs AS l
    WHERE l.finished_at < :before
        AND EXISTS (
            SELECT 1 FROM runs AS n
            WHERE n.user_id = l.user_id AND n.kind = l.kind AND n.depth = l.depth AND n.finished_at IS NOT NULL
                AND (n.finished_at, n.id) > (l.finished_at, l.id)
        )
    ORDER BY l.finished_at
    LIMIT :limit
);

-- name: runs.remove
DELETE FROM runs WHERE id = ? AND (state <> 'running' OR expires_at IS NULL OR expires_at < ?);

-- name: runs.renew
UPDATE runs SET expires_at = :expires_at
WHERE id = :id AND token = :token AND state = 'running'
RETURNING cancel_requested;

-- name: runs.resume
UPDATE runs AS r
SET state = 'running', token = :token, attempts = attempts + 1, cancel_requested = 0, holder = :holder,
    finished_at = NULL, updated_at = :now, expires_at = :expires_at
WHERE id = :id
RETURNING id, kind, user_id, state, request, cursor, report, token, attempts, cancel_requested, started_at, updated_at, finished_at, expires_at;

-- name: runs.save
UPDATE runs SET cursor = :cursor, updated_at = :now, expires_at = :expires_at
WHERE id = :id AND token = :token AND state = 'running'
RETURNING cancel_requested;

-- name: runs.totals
SELECT
    count(*) FILTER (WHERE kind <> 'rebuild'),
    sum(coalesce(json_extract(report, '$.repaired'), json_extract(report, '$.repair.repaired'))),
    count(*) FILTER (WHERE kind = 'rebuild'),
    sum(json_extract(report, '$.memories'))
FROM runs
WHERE kind IN ('repair', 'full', 'rebuild') AND state = 'done' AND json_type(request, '$.dry_run') = 'false';

-- name: schema.applied
SELECT version, name, phase FROM schema_migrations ORDER BY version;

-- name: schema.bind_model
UPDATE store_info SET embedding_model = :model, dimension = :dimension WHERE dimension IS NULL;

-- name: schema.forget_migration
DELETE FROM schema_migrations WHERE version = :version;

-- name: schema.graph
SELECT graph_id, graph_database_id FROM store_info;

-- name: schema.has_phases
SELECT count(*) FROM pragma_table_info('schema_migrations') WHERE name = 'phase';

-- name: schema.info
SELECT
    store_id, (SELECT max(version) FROM schema_migrations), embedding_model, dimension, floor, graph_id,
    graph_database_id
FROM store_info;

-- name: schema.list_everything
INSERT INTO outbox (user_id, id, entry_id, version, created_at, due_at)
SELECT
    l.user_id, l.id,
    lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
        || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))
    ),
    l.version, :now, :now
FROM (SELECT user_id, id, version FROM memories UNION ALL SELECT user_id, id, version FROM tombstones) AS l
WHERE true
ON CONFLICT (user_id, id) DO UPDATE
SET entry_id = excluded.entry_id, version = max(version, excluded.version), attempts = 0, claim = 0, disabled = 0,
    dead_at = NULL, due_at = excluded.due_at;

-- name: schema.mark
PRAGMA application_id;

-- name: schema.record_migration
INSERT INTO schema_migrations (version, name, applied_at, phase) VALUES (:version, :name, :now, :phase);

-- name: schema.register_graph
UPDATE store_info SET graph_id = :graph_id, graph_database_id = :database_id
WHERE graph_id IS NULL OR (graph_id = :former_graph_id AND graph_database_id = :former_database_id);

-- name: schema.schema_version
SELECT coalesce(max(version), 0) FROM schema_migrations;

-- name: schema.tables
SELECT count(*) FROM sqlite_schema;

-- name: search.embeddings
SELECT m.id, m.number, e.embedding
FROM memories AS m
JOIN embeddings AS e ON e.number = m.number
WHERE m.user_id = :user_id AND m.number > :after
ORDER BY m.number;

-- name: search.gone
SELECT id FROM tombstones WHERE user_id = :user_id AND number > :after;

-- name: search.hit
SELECT m.id, m.user_id, m.agent_id, m.run_id, m.content, m.metadata, m.entities, m.relationships, m.extracted, e.embedding, m.version, m.digest, m.created_at, m.updated_at FROM memories AS m LEFT JOIN embeddings AS e ON e.number = NULL WHERE m.number = ?;

-- name: search.position
SELECT max(forgotten, coalesce((SELECT max(number) FROM memories), 0), coalesce((SELECT max(number) FROM tombstones), 0), coalesce((SELECT max(number) FROM embeddings), 0)), forgotten FROM store_info;

-- name: search.size
SELECT count(*) FROM memories WHERE user_id = :user_id;

-- name: session.begin_read
BEGIN;

-- name: session.begin_write
BEGIN IMMEDIATE;

-- name: session.commit
COMMIT;

-- name: session.full
PRAGMA synchronous = FULL;

-- name: session.journal_limit
PRAGMA journal_size_limit = 67108864;

-- name: session.normal
PRAGMA synchronous = NORMAL;

-- name: session.roll_back
ROLLBACK;

-- name: session.take
SELECT one FROM store_info;

-- name: session.wal
PRAGMA journal_mode = WAL;

-- name: transfer.raise_floor
UPDATE store_info SET floor = max(floor, :floor);

-- name: transfer.tombstones
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE (t.user_id, t.id) > (:after_user, :after_id)
ORDER BY t.user_id, t.id
LIMIT :limit;

-- name: transfer.tombstones_tenant
SELECT t.user_id, t.id, t.version
FROM tombstones AS t
WHERE t.user_id = :user_id AND t.id > :after_id
ORDER BY t.id
LIMIT :limit;

-- name: writes.drop_embedding
DELETE FROM embeddings WHERE number = ?;

-- name: writes.drop_memory
DELETE FROM memories WHERE number = ?;

-- name: writes.drop_tombstone
DELETE FROM tombstones WHERE number = ?;

-- name: writes.former
SELECT m.id, m.user_id, m.agent_id, m.run_id, m.content, m.metadata, m.entities, m.relationships, m.extracted, e.embedding, m.version, m.digest, m.created_at, m.updated_at
FROM memories AS m
LEFT JOIN embeddings AS e ON e.number = m.number
WHERE m.number = ?;

-- name: writes.found
SELECT
    m.number, m.version, m.write_id, m.created_at, m.updated_at, t.number, t.version, t.write_id, t.deleted_at,
    o.entry_id
FROM json_each(:ids) AS k
LEFT JOIN memories AS m ON m.user_id = :user_id AND m.id = k.value
LEFT JOIN tombstones AS t ON t.user_id = :user_id AND t.id = k.value
LEFT JOIN outbox AS o ON o.user_id = :user_id AND o.id = k.value
ORDER BY k.key;

-- name: writes.last_write
SELECT write_id, version FROM memories WHERE user_id = :user_id AND id = :id
UNION ALL
SELECT write_id, version FROM tombstones WHERE user_id = :user_id AND id = :id;

-- name: writes.put_embedding
INSERT INTO embeddings (number, embedding) VALUES (?, ?);

-- name: writes.put_entry
INSERT INTO outbox (user_id, id, entry_id, version, created_at, due_at, disabled) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (user_id, id) DO UPDATE
SET entry_id = excluded.entry_id, version = excluded.version, attempts = 0, claim = 0, dead_at = NULL, reason = NULL,
    disabled = excluded.disabled, due_at = excluded.due_at;

-- name: writes.put_memory
INSERT INTO memories (
    user_id, id, agent_id, run_id, content, metadata, entities, relationships, extracted, digest, bucket, write_id,
    number, version, created_at, updated_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: writes.put_tombstone
INSERT INTO tombstones (number, user_id, id, version, bucket, write_id, deleted_at) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: writes.store
SELECT floor, graph_id IS NOT NULL, max(forgotten, coalesce((SELECT max(number) FROM memories), 0), coalesce((SELECT max(number) FROM tombstones), 0), coalesce((SELECT max(number) FROM embeddings), 0)) FROM store_info;
