-- name: migrations_exist
-- Whether the schema has been made.
SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = %(schema)s AND tablename = 'schema_migrations');

-- name: create_migrations
-- The list of migrations applied.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: schema_version
-- The newest migration applied, 0 for none.
SELECT coalesce(max(version), 0) FROM {schema}.schema_migrations;

-- name: record_migration
-- Remember that a migration was applied.
INSERT INTO schema_migrations (version, name) VALUES (%(version)s, %(name)s);

-- name: lock_schema
-- Keep other processes from changing any schema of ours in this database until the transaction ends.
SELECT pg_advisory_xact_lock(1685027185, 0);

-- name: search_path
-- Find names in these schemas until the transaction ends.
SELECT set_config('search_path', %(search_path)s, true);
