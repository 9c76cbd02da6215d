-- A copy from another store: memories and tombstones at the versions that they have there.

-- Lock the memories by their outbox rows, say which of the given versions are newer than what is there, and make room
-- for those: what is there goes, tombstones are left, and the caller copies the live ones in, in the same transaction.
CREATE FUNCTION prepare_transfer(
    user_ids text[], ids text[], write_ids uuid[], versions bigint[], buckets integer[], live boolean[], graph boolean,
    lease double precision
) RETURNS SETOF integer
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    k record;
    keep boolean := graph;
    wall timestamptz := clock_timestamp();
    due timestamptz;
BEGIN
    IF NOT graph THEN
        -- Whoever registers a graph waits here for writes that have seen none and so leave no entry.
        PERFORM pg_advisory_xact_lock_shared(1685027185, 'store_info'::regclass::oid::integer);
        SELECT s.graph_id IS NOT NULL INTO keep FROM store_info AS s;
    END IF;

    -- 1. The lock: insert the row, or lock the one that is there and leave it as it is. In key order: no deadlocks.
    INSERT INTO outbox AS o (user_id, id, entry_id, version, created_at, due_at, disabled)
    SELECT u.user_id, u.id, u.write_id, u.version, wall, wall + make_interval(secs => lease), NOT graph
    FROM unnest(user_ids, ids, write_ids, versions) AS u (user_id, id, write_id, version)
    ORDER BY u.user_id COLLATE "C", u.id COLLATE "C"
    ON CONFLICT (user_id, id) DO UPDATE SET claim = o.claim WHERE false;

    -- 2. In a later statement, so that it sees what the writer we may have waited for left.
    wall := clock_timestamp();
    due := wall + make_interval(secs => lease);
    FOR k IN
        SELECT
            u.*, o.made_by = pg_current_xact_id()::xid AS fresh, m.version AS memory_version,
            t.version AS tombstone_version, u.version > greatest(m.version, t.version, 0) AS todo
        FROM unnest(user_ids, ids, write_ids, versions, buckets, live) WITH ORDINALITY
            AS u (user_id, id, write_id, version, bucket, live, place)
        CROSS JOIN LATERAL (
            SELECT l.xmin AS made_by FROM outbox AS l WHERE l.user_id = u.user_id AND l.id = u.id LIMIT 1
        ) AS o
        LEFT JOIN LATERAL (
            SELECT l.version FROM memories AS l WHERE l.user_id = u.user_id AND l.id = u.id LIMIT 1
        ) AS m ON true
        LEFT JOIN LATERAL (
            SELECT l.version FROM tombstones AS l WHERE l.user_id = u.user_id AND l.id = u.id LIMIT 1
        ) AS t ON true
    LOOP
        -- 3. The outbox: rows that were only locks go; rows of others become ours, due again, alive again.
        IF k.fresh AND NOT (k.todo AND keep) THEN
            DELETE FROM outbox AS o WHERE o.user_id = k.user_id AND o.id = k.id;
        ELSIF k.todo AND NOT k.fresh THEN
            UPDATE outbox AS o
            SET entry_id = k.write_id, version = k.version, attempts = 0, claim = 0, dead_at = NULL, reason = NULL,
                disabled = NOT graph, due_at = due
            WHERE o.user_id = k.user_id AND o.id = k.id;
        END IF;
        CONTINUE WHEN NOT k.todo;

        IF k.memory_version IS NOT NULL THEN
            DELETE FROM memories AS m WHERE m.user_id = k.user_id AND m.id = k.id;
        END IF;
        IF k.tombstone_version IS NOT NULL THEN
            DELETE FROM tombstones AS t WHERE t.user_id = k.user_id AND t.id = k.id;
        END IF;
        IF NOT k.live THEN
            INSERT INTO tombstones (user_id, id, version, bucket, write_id, deleted_at)
            VALUES (k.user_id, k.id, k.version, k.bucket, k.write_id, wall);
        END IF;
        RETURN NEXT k.place::integer;
    END LOOP;
END
$$;
