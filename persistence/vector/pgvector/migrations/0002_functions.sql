-- The write path. Each function is one round trip, and each statement in it sees a snapshot of its own (READ COMMITTED):
-- that is what makes the guard below right.
--
-- Many keys are looked up one after another (a loop, or LATERAL … LIMIT 1, which the planner cannot turn around): the
-- outbox is empty at one moment and long at the next, and a join planned for the empty one reads the long one whole
-- for every key.

CREATE FUNCTION micros(moment timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (extract(epoch FROM moment) * 1000000)::bigint;

-- What a write finds and is to do. `todo`: something is to be written at `version`.
CREATE TYPE write_state AS (
    place integer,
    user_id text COLLATE "C",
    id text COLLATE "C",
    write_id uuid,
    status text,
    todo boolean,
    version bigint,
    memory_version bigint,
    tombstone_version bigint,
    created_at timestamptz,
    updated_at timestamptz,
    fresh boolean,
    tracked boolean,
    fault text
);

-- Lock the memories by their outbox rows, find what is there, decide, and leave each outbox row as it has to be.
-- `above`: versions that the new ones have to exceed (a graph was seen ahead of a truth that is an old copy).
-- Raises DT001 (another version than the expected one; DETAIL: expected, actual) and DT002 (nothing to update).
-- Its plans are made once a session: left to itself Postgres plans the large query anew in each call (7 ms instead of 1).
CREATE FUNCTION judge_writes(
    user_ids text[], ids text[], write_ids uuid[], mode text, expected bigint[], graph boolean, lease double precision,
    above bigint[]
) RETURNS write_state[]
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    states write_state[];
    state write_state;
    keep boolean := graph;
    wall timestamptz := clock_timestamp();
    stamp bigint := micros(wall);
    spare boolean;
    other boolean;
    faulty boolean;
BEGIN
    IF NOT graph THEN
        -- Whoever registers a graph waits here for writes that have seen none and so leave no entry.
        PERFORM pg_advisory_xact_lock_shared(1685027185, 'store_info'::regclass::oid::integer);
        SELECT graph_id IS NOT NULL INTO keep FROM store_info;
    END IF;

    -- 1. The lock: insert the row, or lock the one that is there and leave it as it is. In key order: no deadlocks.
    INSERT INTO outbox AS o (user_id, id, entry_id, version, created_at, due_at, disabled)
    SELECT k.user_id, k.id, k.write_id, stamp, wall, wall + make_interval(secs => lease), NOT graph
    FROM unnest(user_ids, ids, write_ids) AS k (user_id, id, write_id)
    ORDER BY k.user_id COLLATE "C", k.id COLLATE "C"
    ON CONFLICT (user_id, id) DO UPDATE SET claim = o.claim WHERE false;

    -- 2. In a later statement, so that it sees what the writer we may have waited for left: memory, tombstone and
    -- floor in one snapshot (a tombstone is collected and the floor raised in one transaction).
    wall := clock_timestamp();
    SELECT
        array_agg(ROW(
            j.place, j.user_id, j.id, j.write_id, j.status, j.todo, j.version, j.memory_version, j.tombstone_version,
            j.created_at, j.updated_at, j.fresh, j.tracked, j.fault
        )::write_state ORDER BY j.place),
        bool_or(j.fresh AND NOT j.tracked),
        bool_or(j.todo AND j.tracked AND NOT (j.fresh AND j.version = stamp)),
        bool_or(j.fault IS NOT NULL)
    INTO states, spare, other, faulty
    FROM (
        SELECT
            f.*,
            f.status = 'written' AND NOT f.own AS todo,
            CASE
                WHEN f.status = 'written' AND NOT f.own
                THEN greatest(stamp, f.memory_version + 1, f.tombstone_version + 1, f.floor + 1, f.above + 1)
                ELSE coalesce(f.memory_version, f.tombstone_version)
            END AS version,
            CASE WHEN f.own THEN f.entry_is_ours AND NOT f.fresh ELSE f.status = 'written' AND (keep OR NOT f.fresh) END
                AS tracked
        FROM (
            SELECT
                k.place::integer AS place, k.user_id, k.id, k.write_id, s.floor, k.above,
                m.version AS memory_version, t.version AS tombstone_version,
                coalesce(m.created_at, wall) AS created_at,
                CASE WHEN own.it OR e.status <> 'written' THEN coalesce(m.updated_at, t.deleted_at) ELSE wall END
                    AS updated_at,
                o.made_by = pg_current_xact_id()::xid AS fresh,
                o.entry_id = k.write_id AS entry_is_ours,
                own.it AS own,
                e.status,
                CASE
                    WHEN own.it THEN NULL
                    WHEN k.expected <> coalesce(m.version, CASE WHEN raised.it OR mode = 'replace' THEN t.version END, -1) THEN 'DT001'
                    WHEN mode = 'update' AND m.version IS NULL THEN 'DT002'
                END AS fault
            FROM unnest(user_ids, ids, write_ids, expected, above) WITH ORDINALITY
                AS k (user_id, id, write_id, expected, above, place)
            CROSS JOIN store_info AS s
            CROSS JOIN LATERAL (
                SELECT l.entry_id, l.xmin AS made_by FROM outbox AS l
                WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
            ) AS o
            LEFT JOIN LATERAL (
                SELECT l.version, l.write_id, l.created_at, l.updated_at FROM memories AS l
                WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
            ) AS m ON true
            LEFT JOIN LATERAL (
                SELECT l.version, l.write_id, l.deleted_at FROM tombstones AS l
                WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
            ) AS t ON true
            -- The same write once more (its answer was lost): nothing is to be done.
            CROSS JOIN LATERAL (SELECT coalesce(k.write_id IN (m.write_id, t.write_id), false) AS it) AS own
            -- A tombstone that is to be written anew above what the graph has.
            CROSS JOIN LATERAL (
                SELECT mode = 'delete' AND m.version IS NULL AND coalesce(t.version <= k.above, false) AS it
            ) AS raised
            CROSS JOIN LATERAL (SELECT CASE
                WHEN own.it THEN 'written'
                WHEN mode = 'delete' AND m.version IS NULL AND t.version IS NULL THEN 'absent'
                WHEN raised.it THEN 'written'
                WHEN mode IN ('delete', 'keep_any') AND m.version IS NULL AND t.version IS NOT NULL THEN 'deleted'
                WHEN mode IN ('keep_live', 'keep_any') AND m.version IS NOT NULL THEN 'exists'
                ELSE 'written'
            END AS status) AS e
        ) AS f
    ) AS j;

    IF faulty THEN
        SELECT s.* INTO state FROM unnest(states) AS s WHERE s.fault IS NOT NULL ORDER BY s.place LIMIT 1;
        RAISE EXCEPTION USING
            ERRCODE = state.fault, MESSAGE = 'diptych: the write does not apply',
            DETAIL = concat_ws(' ', expected[state.place], state.memory_version);
    END IF;

    -- 3. The outbox: rows that were only locks go; rows of others become ours, due again, alive again.
    IF spare OR other THEN
        FOREACH state IN ARRAY states LOOP
            IF state.fresh AND NOT state.tracked THEN
                DELETE FROM outbox AS o WHERE o.user_id = state.user_id AND o.id = state.id;
            ELSIF state.todo AND state.tracked AND NOT (state.fresh AND state.version = stamp) THEN
                UPDATE outbox AS o
                SET entry_id = state.write_id, version = state.version, attempts = 0, claim = 0, dead_at = NULL,
                    reason = NULL, disabled = NOT graph, due_at = wall + make_interval(secs => lease)
                WHERE o.user_id = state.user_id AND o.id = state.id;
            END IF;
        END LOOP;
    END IF;
    RETURN states;
END
$$;

-- Write one memory and its outbox entry.
CREATE FUNCTION write_memory(
    user_id_ text, id_ text, agent_id_ text, run_id_ text, content_ text, metadata_ jsonb, entities_ jsonb,
    relationships_ jsonb, extracted_ boolean, embedding_ vector, digest_ bigint, bucket_ integer,
    created_at_ timestamptz, write_id_ uuid, mode text, expected bigint, graph boolean, lease double precision,
    want_former boolean, above bigint,
    OUT status text, OUT version bigint, OUT created_at timestamptz, OUT updated_at timestamptz, OUT tracked boolean,
    OUT former memories
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    states write_state[] := judge_writes(
        ARRAY[user_id_], ARRAY[id_], ARRAY[write_id_], mode, ARRAY[expected], graph, lease, ARRAY[above]);
    state write_state := states[1];
BEGIN
    status := state.status;
    version := state.version;
    created_at := state.created_at;
    updated_at := state.updated_at;
    tracked := state.tracked;
    IF NOT state.todo THEN
        RETURN;
    END IF;
    created_at := coalesce(created_at_, state.created_at);
    IF want_former AND state.memory_version IS NOT NULL THEN
        SELECT m.* INTO former FROM memories AS m WHERE m.user_id = user_id_ AND m.id = id_;
    END IF;
    IF state.memory_version IS NULL THEN
        INSERT INTO memories (
            user_id, id, agent_id, run_id, content, metadata, entities, relationships, extracted, embedding, version,
            digest, bucket, write_id, created_at, updated_at
        ) VALUES (
            user_id_, id_, agent_id_, run_id_, content_, metadata_, entities_, relationships_, extracted_, embedding_,
            state.version, digest_, bucket_, write_id_, coalesce(created_at_, state.created_at), state.updated_at
        );
    ELSE
        UPDATE memories AS m
        SET agent_id = agent_id_, run_id = run_id_, content = content_, metadata = metadata_, entities = entities_,
            relationships = relationships_, extracted = extracted_, embedding = embedding_, version = state.version,
            digest = digest_, bucket = bucket_, write_id = write_id_,
            created_at = coalesce(created_at_, state.created_at), updated_at = state.updated_at,
            changed = pg_current_xact_id()
        WHERE m.user_id = user_id_ AND m.id = id_;
    END IF;
    IF state.tombstone_version IS NOT NULL THEN
        DELETE FROM tombstones AS t WHERE t.user_id = user_id_ AND t.id = id_;
    END IF;
END
$$;

-- Make room for many memories: the caller copies those that are `todo`, at the versions given, in the same transaction.
CREATE FUNCTION prepare_writes(
    user_ids text[], ids text[], write_ids uuid[], mode text, graph boolean, lease double precision
) RETURNS TABLE (
    place integer, status text, todo boolean, version bigint, created_at timestamptz, updated_at timestamptz,
    tracked boolean
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    looked write_state[];
    states write_state[];
    state write_state;
    places integer[];
BEGIN
    IF mode IN ('keep_live', 'keep_any') THEN
        -- What is to be left alone is left alone as it was at this moment: no lock is needed for that.
        SELECT array_agg(ROW(
            k.place, k.user_id, k.id, k.write_id, CASE WHEN m.version IS NULL THEN 'deleted' ELSE 'exists' END,
            coalesce(m.write_id, t.write_id) IS NOT DISTINCT FROM k.write_id
                OR (m.version IS NULL AND (t.version IS NULL OR mode <> 'keep_any')),
            coalesce(m.version, t.version), m.version, t.version, m.created_at, coalesce(m.updated_at, t.deleted_at),
            false, false, NULL
        )::write_state ORDER BY k.place)
        INTO looked
        FROM unnest(user_ids, ids, write_ids) WITH ORDINALITY AS k (user_id, id, write_id, place)
        LEFT JOIN LATERAL (
            SELECT l.version, l.write_id, l.created_at, l.updated_at FROM memories AS l
            WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
        ) AS m ON true
        LEFT JOIN LATERAL (
            SELECT l.version, l.write_id, l.deleted_at FROM tombstones AS l
            WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1
        ) AS t ON true;
        RETURN QUERY
            SELECT s.place, s.status, false, s.version, s.created_at, s.updated_at, false
            FROM unnest(looked) AS s
            WHERE NOT s.todo;
        SELECT array_agg(s.place), array_agg(s.user_id), array_agg(s.id), array_agg(s.write_id)
        INTO places, user_ids, ids, write_ids
        FROM unnest(looked) AS s
        WHERE s.todo;
        IF places IS NULL THEN
            RETURN;
        END IF;
    END IF;

    states := judge_writes(user_ids, ids, write_ids, mode, NULL, graph, lease, NULL);
    FOREACH state IN ARRAY states LOOP
        IF state.todo AND state.memory_version IS NOT NULL THEN
            DELETE FROM memories AS m WHERE m.user_id = state.user_id AND m.id = state.id;
        END IF;
        IF state.todo AND state.tombstone_version IS NOT NULL THEN
            DELETE FROM tombstones AS t WHERE t.user_id = state.user_id AND t.id = state.id;
        END IF;
    END LOOP;
    RETURN QUERY
        SELECT coalesce(places[s.place], s.place), s.status, s.todo, s.version, s.created_at, s.updated_at, s.tracked
        FROM unnest(states) AS s;
END
$$;

-- Leave a tombstone of each memory, at a version above the memory's.
CREATE FUNCTION delete_memories(
    user_ids text[], ids text[], write_ids uuid[], buckets integer[], expected bigint[], graph boolean,
    lease double precision, want_former boolean, above bigint[]
) RETURNS TABLE (
    place integer, status text, version bigint, updated_at timestamptz, tracked boolean, former memories
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    state write_state;
BEGIN
    FOREACH state IN ARRAY judge_writes(
        user_ids, ids, write_ids, 'delete', expected, graph, lease, above
    ) LOOP
        place := state.place;
        status := state.status;
        version := state.version;
        updated_at := state.updated_at;
        tracked := state.tracked;
        former := NULL;
        IF state.todo THEN
            IF want_former THEN
                SELECT m.* INTO former FROM memories AS m WHERE m.user_id = state.user_id AND m.id = state.id;
            END IF;
            DELETE FROM memories AS m WHERE m.user_id = state.user_id AND m.id = state.id;
            INSERT INTO tombstones (user_id, id, version, bucket, write_id, deleted_at)
            VALUES (state.user_id, state.id, state.version, buckets[state.place], state.write_id, state.updated_at)
            ON CONFLICT (user_id, id) DO UPDATE
            SET version = excluded.version, write_id = excluded.write_id, deleted_at = excluded.deleted_at,
                changed = excluded.changed;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Find which write made what is there, after waiting for a writer that is still under way.
CREATE FUNCTION last_write(user_id_ text, id_ text, OUT write_id uuid, OUT version bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO outbox AS o (user_id, id, entry_id, version, due_at)
    VALUES (user_id_, id_, gen_random_uuid(), 0, clock_timestamp())
    ON CONFLICT (user_id, id) DO UPDATE SET claim = o.claim WHERE false;
    SELECT coalesce(m.write_id, t.write_id), coalesce(m.version, t.version) INTO write_id, version
    FROM store_info AS s
    LEFT JOIN memories AS m ON m.user_id = user_id_ AND m.id = id_
    LEFT JOIN tombstones AS t ON t.user_id = user_id_ AND t.id = id_;
    DELETE FROM outbox AS o
    WHERE o.user_id = user_id_ AND o.id = id_ AND o.xmin = pg_current_xact_id()::xid;
END
$$;

-- Entries are worked on in key order, each by its key.

-- Remove entries that are still these. Not flushed to disk before it answers: an entry that comes back after a crash
-- of the server is applied once more, and that changes nothing.
CREATE FUNCTION settle_entries(user_ids text[], ids text[], entry_ids uuid[], versions bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    k record;
    removed bigint := 0;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR k IN
        SELECT * FROM unnest(user_ids, ids, entry_ids, versions) AS u (user_id, id, entry_id, version)
        ORDER BY u.user_id COLLATE "C", u.id COLLATE "C"
    LOOP
        DELETE FROM outbox AS o
        WHERE o.user_id = k.user_id AND o.id = k.id AND o.entry_id = k.entry_id AND o.version = k.version;
        removed := removed + FOUND::integer;
    END LOOP;
    RETURN removed;
END
$$;

-- End the writer's lease of entries that no one has claimed.
CREATE FUNCTION release_entries(user_ids text[], ids text[], entry_ids uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    k record;
BEGIN
    FOR k IN
        SELECT * FROM unnest(user_ids, ids, entry_ids) AS u (user_id, id, entry_id)
        ORDER BY u.user_id COLLATE "C", u.id COLLATE "C"
    LOOP
        UPDATE outbox AS o SET due_at = least(o.due_at, clock_timestamp())
        WHERE o.user_id = k.user_id AND o.id = k.id AND o.entry_id = k.entry_id AND o.claim = 0 AND o.attempts = 0
            AND o.dead_at IS NULL;
    END LOOP;
END
$$;

-- Take due entries, oldest due first, past those that others hold. Not flushed either: an attempt that a crash of the
-- server forgets is one attempt more.
CREATE FUNCTION claim_entries(most integer, lease double precision) RETURNS SETOF outbox
LANGUAGE plpgsql AS $$
DECLARE
    k record;
    entry outbox;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR k IN
        SELECT o.user_id, o.id
        FROM outbox AS o
        WHERE o.dead_at IS NULL AND o.due_at <= clock_timestamp()
        ORDER BY o.due_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE outbox AS o
        SET attempts = o.attempts + 1, claim = nextval('outbox_claims'), disabled = false,
            due_at = clock_timestamp() + make_interval(secs => lease)
        WHERE o.user_id = k.user_id AND o.id = k.id
        RETURNING o.* INTO entry;
        RETURN NEXT entry;
    END LOOP;
END
$$;

-- Give back entries whose claim is still the one given.
CREATE FUNCTION postpone_entries(
    user_ids text[], ids text[], entry_ids uuid[], claims bigint[], delays double precision[], reasons text[],
    give_back boolean[], dead boolean[]
) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    k record;
    postponed bigint := 0;
BEGIN
    FOR k IN
        SELECT * FROM unnest(user_ids, ids, entry_ids, claims, delays, reasons, give_back, dead)
            AS u (user_id, id, entry_id, claim, delay, reason, back, dead)
        ORDER BY u.user_id COLLATE "C", u.id COLLATE "C"
    LOOP
        UPDATE outbox AS o
        SET claim = 0, reason = k.reason, attempts = greatest(o.attempts - k.back::integer, 0),
            due_at = clock_timestamp() + make_interval(secs => k.delay),
            dead_at = CASE WHEN k.dead THEN clock_timestamp() END
        WHERE o.user_id = k.user_id AND o.id = k.id AND o.entry_id = k.entry_id AND o.claim = k.claim
            AND o.dead_at IS NULL;
        postponed := postponed + FOUND::integer;
    END LOOP;
    RETURN postponed;
END
$$;

-- Make dead entries due now: those of these memories.
CREATE FUNCTION revive_entries(user_ids text[], ids text[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    k record;
    revived bigint := 0;
BEGIN
    FOR k IN
        SELECT * FROM unnest(user_ids, ids) AS u (user_id, id) ORDER BY u.user_id COLLATE "C", u.id COLLATE "C"
    LOOP
        UPDATE outbox AS o SET dead_at = NULL, attempts = 0, claim = 0, due_at = clock_timestamp()
        WHERE o.user_id = k.user_id AND o.id = k.id AND o.dead_at IS NOT NULL;
        revived := revived + FOUND::integer;
    END LOOP;
    RETURN revived;
END
$$;

-- Remove tombstones that are still these and settled, and raise the floor in the same transaction: whoever reads a
-- memory, its tombstone and the floor in one statement sees either the tombstone or the floor above it.
CREATE FUNCTION collect_tombstones(user_ids text[], ids text[], versions bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    k record;
    highest bigint := 0;
    removed bigint := 0;
BEGIN
    FOR k IN
        SELECT * FROM unnest(user_ids, ids, versions) AS u (user_id, id, version)
        ORDER BY u.user_id COLLATE "C", u.id COLLATE "C"
    LOOP
        DELETE FROM tombstones AS t
        WHERE t.user_id = k.user_id AND t.id = k.id AND t.version = k.version
            AND NOT EXISTS (SELECT FROM outbox AS o WHERE o.user_id = t.user_id AND o.id = t.id);
        IF FOUND THEN
            highest := greatest(highest, k.version);
            removed := removed + 1;
        END IF;
    END LOOP;
    UPDATE store_info SET floor = highest WHERE floor < highest;
    RETURN removed;
END
$$;
