-- name: configure
-- Settings of each session. Every statement here is a handful of key look-ups: a plan that scans or hashes a table would
-- stay when the table has grown.
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
    set_config('enable_bitmapscan', 'off', false);

-- name: clock
-- Milliseconds since 1970 by the clock that refuses late writes.
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- name: stamp
-- Stamp the graph with its identity; of two who do it at once, one wins, and both read who.
INSERT INTO store_info (graph_id, truth_id) VALUES (%(graph_id)s, %(truth_id)s) ON CONFLICT DO NOTHING;

-- name: release
-- Take the stamp of one truth away.
DELETE FROM store_info WHERE truth_id = %(truth_id)s;

-- name: identity
-- Which database this is, and whose graph it says to be (nulls where it was never stamped).
SELECT
    'postgresql-' || c.system_identifier || '-' || d.oid || '-' || current_schema(), s.graph_id, s.truth_id
FROM pg_control_system() AS c
JOIN pg_database AS d ON d.datname = current_database()
LEFT JOIN store_info AS s ON true;
