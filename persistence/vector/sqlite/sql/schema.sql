-- name: mark
-- Whose file this is.
PRAGMA application_id;

-- name: tables
-- How many tables, views and the like there are.
SELECT count(*) FROM sqlite_schema;

-- name: set_mark
-- Say that the file is diptych's ("dptc").
PRAGMA application_id = 1685091427;

-- name: create_migrations
-- The list of migrations applied.
CREATE TABLE schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    phase TEXT NOT NULL DEFAULT 'post'
) STRICT;

-- name: has_phases
-- Whether the list is of a diptych that knew phases.
SELECT count(*) FROM pragma_table_info('schema_migrations') WHERE name = 'phase';

-- name: add_phases
-- What somebody adds without a phase counts as `post`: older code had better not work with it.
ALTER TABLE schema_migrations ADD COLUMN phase TEXT NOT NULL DEFAULT 'post';

-- name: applied
-- The migrations applied.
SELECT version, name, phase FROM schema_migrations ORDER BY version;

-- name: applied_before_phases
-- The migrations applied, in the list of a diptych that knew no phases.
SELECT version, name, 'post' FROM schema_migrations ORDER BY version;

-- name: schema_version
-- The newest migration applied, 0 for none.
SELECT coalesce(max(version), 0) FROM schema_migrations;

-- name: record_migration
-- Remember that a migration was applied.
INSERT INTO schema_migrations (version, name, applied_at, phase) VALUES (:version, :name, :now, :phase);

-- name: forget_migration
-- Remember that a migration was taken back.
DELETE FROM schema_migrations WHERE version = :version;

-- name: info
-- What the truth says of itself.
SELECT
    store_id, (SELECT max(version) FROM schema_migrations), embedding_model, dimension, floor, graph_id,
    graph_database_id
FROM store_info;

-- name: bind_model
-- Record the model of the embeddings, if none is recorded.
UPDATE store_info SET embedding_model = :model, dimension = :dimension WHERE dimension IS NULL;

-- name: register_graph
-- Record the truth's graph if none is recorded, or if the one recorded still is the former one.
UPDATE store_info SET graph_id = :graph_id, graph_database_id = :database_id
WHERE graph_id IS NULL OR (graph_id = :former_graph_id AND graph_database_id = :former_database_id);

-- name: graph
-- The graph recorded.
SELECT graph_id, graph_database_id FROM store_info;

-- name: list_everything
-- List every memory and tombstone in the outbox. Entries that are there get a new id, so that whoever was about to
-- settle one (for another graph, perhaps) misses it.
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
