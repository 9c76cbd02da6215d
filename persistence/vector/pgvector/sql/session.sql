-- name: configure
-- Settings of each session. Every statement here is a handful of key look-ups, and outbox and tombstones are often
-- empty when a plan is made and kept: a plan that scans or hashes a table would stay when the table has grown. Nor
-- can a bitmap stop after the first few rows of many; only filters on metadata need one (see `bitmaps`).
SELECT
    set_config('search_path', %(search_path)s, false),
    set_config('TimeZone', 'UTC', false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('statement_timeout', %(timeout)s, false),
    set_config('idle_in_transaction_session_timeout', %(timeout)s, false),
    set_config('jit', 'off', false),
    set_config('enable_seqscan', 'off', false),
    set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false),
    set_config('enable_bitmapscan', 'off', false),
    set_config('hnsw.iterative_scan', 'strict_order', false),
    set_config('hnsw.ef_search', '100', false);

-- name: timeout
-- Let the statements of this session take so many milliseconds (0: as long as they take).
SELECT set_config('statement_timeout', %(timeout)s, false);

-- name: bitmaps
-- Let this transaction use the index on metadata, which gives bitmaps only.
SELECT set_config('enable_bitmapscan', 'on', true);

-- name: durability
-- What decides whether a commit that was acknowledged survives a crash.
SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name;

-- name: begin_still
-- Begin a transaction that sees one moment, and writes nothing.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: stay
-- Take the moment, and let whoever reads it pause for so many milliseconds between two statements.
SELECT set_config('idle_in_transaction_session_timeout', %(pause)s, true);
