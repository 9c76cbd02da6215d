-- name: migrations_exist
-- Whether the schema has been made.
SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = %(schema)s AND tablename = 'schema_migrations');

-- name: create_migrations
-- The list of migrations applied.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    phase text NOT NULL DEFAULT 'post'
);

-- name: add_phases
-- The list of a diptych that knew no phases yet gets them. What somebody adds without one counts as `post`: older code
-- had better not work with it.
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS phase text NOT NULL DEFAULT 'post';

-- name: schema_version
-- The newest migration applied, 0 for none.
SELECT coalesce(max(version), 0) FROM {schema}.schema_migrations;

-- name: record_migration
-- Remember that a migration was applied.
INSERT INTO schema_migrations (version, name, phase) VALUES (%(version)s, %(name)s, %(phase)s);

-- name: forget_migration
-- Remember that a migration was taken back.
DELETE FROM schema_migrations WHERE version = %(version)s;

-- name: applied
-- The migrations applied; the list may be of a diptych that knew no phases yet.
SELECT m.version, m.name, coalesce(to_jsonb(m) ->> 'phase', 'post') FROM {schema}.schema_migrations AS m ORDER BY m.version;

-- name: try_lock
-- Become the only one who changes this schema, if nobody does. It is asked for again and again, never waited for: a
-- waiting session would hold up an index that is built concurrently.
SELECT pg_try_advisory_lock(1685027189, hashtext(%(schema)s));

-- name: unlock
-- Let others change this schema.
SELECT pg_advisory_unlock(1685027189, hashtext(%(schema)s));

-- name: limit_waits
-- Wait for a table's lock no longer than this until the transaction ends: whoever comes after waits behind us.
SELECT set_config('lock_timeout', %(timeout)s, true);

-- name: session_search_path
-- Find names in these schemas.
SELECT set_config('search_path', %(search_path)s, false);

-- name: lock_schema
-- Keep other processes from changing any schema of ours in this database until the transaction ends.
SELECT pg_advisory_xact_lock(1685027185, 0);

-- name: search_path
-- Find names in these schemas until the transaction ends.
SELECT set_config('search_path', %(search_path)s, true);
