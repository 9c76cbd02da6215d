-- The write path and the walk. Each function is one round trip, and each statement in it sees a snapshot of its own
-- (READ COMMITTED): what is read after a lock was waited for is what the other one left.
--
-- Locks are taken in one order by all: memories in key order, then entities that are let go or renamed, then new
-- entities, then entities that are taken up, each in key order; last, entities that nobody is left to mention.
-- Who takes an entity up shares its lock (KEY SHARE); who lets it go excludes others who do (NO KEY UPDATE), so that of
-- two who let go of the same one the second counts what is left after the first; who removes it waits for all (UPDATE).

-- Remove those of these entities that have no edge, under their locks; return how many.
CREATE FUNCTION drop_lone(candidates bigint[]) RETURNS bigint
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    lone bigint[];
    removed bigint;
BEGIN
    PERFORM 1 FROM entities AS e
    WHERE e.number = ANY (candidates) ORDER BY e.user_id, e.type, e.key FOR NO KEY UPDATE;
    SELECT array_agg(e.number) INTO lone FROM entities AS e
    WHERE e.number = ANY (candidates)
        AND NOT EXISTS (SELECT FROM mentions AS x WHERE x.entity = e.number)
        AND NOT EXISTS (SELECT FROM edges AS x WHERE x.source = e.number)
        AND NOT EXISTS (SELECT FROM edges AS x WHERE x.target = e.number);
    IF lone IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM 1 FROM entities AS e WHERE e.number = ANY (lone) ORDER BY e.user_id, e.type, e.key FOR UPDATE;
    -- In a later statement: it sees what those have left for whom the lock was waited.
    DELETE FROM entities AS e
    WHERE e.number = ANY (lone)
        AND NOT EXISTS (SELECT FROM mentions AS x WHERE x.entity = e.number)
        AND NOT EXISTS (SELECT FROM edges AS x WHERE x.source = e.number)
        AND NOT EXISTS (SELECT FROM edges AS x WHERE x.target = e.number);
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;

-- Apply writes of distinct memories: locks, then verdicts, then removal, then creation, then sweep.
-- `not_after`: milliseconds since 1970 by this server's clock. Rows and entities come in key order. Of a row, `digests` -1:
-- it is deleted; `generations` -1: none; `created` -infinity: none. A mention is (row, entity, what it is called,
-- properties), an edge (row, position in it, source, type, target, properties), by places in rows and entities from 1.
-- Raises DT003: its time had passed, and nothing of it has happened.
CREATE FUNCTION apply_writes(
    not_after bigint,
    user_ids text[], ids text[], versions bigint[], digests bigint[], buckets integer[], forced integer[],
    captions text[], agent_ids text[], run_ids text[], created timestamptz[], generations bigint[],
    mention_counts integer[], edge_counts integer[],
    entity_users text[], entity_types text[], entity_keys text[],
    m_rows integer[], m_entities integer[], m_names text[], m_properties json[],
    r_rows integer[], r_positions integer[], r_sources integer[], r_types text[], r_targets integer[],
    r_properties json[],
    OUT verdicts text[], OUT versions_now bigint[], OUT now_ms bigint
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    total integer := cardinality(ids);
    marks bigint[];
    row_marks bigint[];
    numbers bigint[];
    found bigint[];
    found_digests bigint[];
    fresh boolean[];
    written boolean[];
    known bigint[];
    former bigint[];
    names text[];
    there bigint[];
    former_names text[];
    claimed bigint[];
    complete boolean;
BEGIN
    now_ms := floor(extract(epoch FROM clock_timestamp()) * 1000);
    IF now_ms > not_after THEN
        RAISE EXCEPTION USING ERRCODE = 'DT003', MESSAGE = 'diptych: the time of the write has passed';
    END IF;
    PERFORM set_config('lock_timeout', greatest(not_after - now_ms, 1)::text, true);

    -- What each memory will remember of what it owns.
    SELECT array_agg(entity_mark(k.user_id, k.type, k.key) ORDER BY k.place) INTO marks
    FROM unnest(entity_users, entity_types, entity_keys) WITH ORDINALITY AS k (user_id, type, key, place);
    SELECT array_agg(o.mark ORDER BY o.place) INTO row_marks
    FROM (
        SELECT p.place, bit_xor(p.mark) AS mark
        FROM (
            SELECT g.place, 0::bigint AS mark FROM generate_series(1, total) AS g (place)
            UNION ALL
            SELECT x.place, marks[x.entity] FROM unnest(m_rows, m_entities) AS x (place, entity)
            UNION ALL
            SELECT x.place, edge_mark(x.position, marks[x.source], x.type, marks[x.target])
            FROM unnest(r_rows, r_positions, r_sources, r_types, r_targets) AS x (place, position, source, type, target)
        ) AS p
        GROUP BY p.place
    ) AS o;

    -- 1. The lock: insert the row as it is to be, or lock the one that is there and read it then.
    WITH made AS (
        INSERT INTO memories AS m (
            user_id, id, version, digest, bucket, caption, agent_id, run_id, created_at, generation, mentions, edges, mark
        )
        SELECT
            w.user_id, w.id, w.version, nullif(w.digest, -1), w.bucket, w.caption, w.agent_id, w.run_id,
            nullif(w.created_at, '-infinity'), nullif(w.generation, -1), w.mentions, w.edges, w.mark
        FROM unnest(
            user_ids, ids, versions, digests, buckets, captions, agent_ids, run_ids, created, generations,
            mention_counts, edge_counts, row_marks
        ) WITH ORDINALITY AS w (
            user_id, id, version, digest, bucket, caption, agent_id, run_id, created_at, generation, mentions, edges,
            mark, place
        )
        ORDER BY w.place
        ON CONFLICT (user_id, id) DO NOTHING
        RETURNING m.number, m.user_id, m.id
    )
    SELECT array_agg(made.number ORDER BY made.user_id, made.id) INTO numbers FROM made;

    IF cardinality(numbers) = total THEN
        verdicts := array_fill('applied'::text, ARRAY[total]);
        versions_now := versions;
        written := array_fill(true, ARRAY[total]);
    ELSE
        SELECT
            array_agg(m.number ORDER BY k.place), array_agg(m.version ORDER BY k.place),
            array_agg(m.digest ORDER BY k.place), array_agg(m.made_by = pg_current_xact_id()::xid ORDER BY k.place)
        INTO numbers, found, found_digests, fresh
        FROM unnest(user_ids, ids) WITH ORDINALITY AS k (user_id, id, place)
        CROSS JOIN LATERAL (
            SELECT l.number, l.version, l.digest, l.xmin AS made_by FROM memories AS l
            WHERE l.user_id = k.user_id AND l.id = k.id
            FOR UPDATE
        ) AS m;
        IF cardinality(numbers) IS DISTINCT FROM total THEN
            RAISE EXCEPTION USING
                ERRCODE = 'serialization_failure', MESSAGE = 'diptych: a tombstone was collected at the same moment';
        END IF;

        SELECT array_agg(
            CASE
                WHEN w.fresh OR w.found < w.version THEN 'applied'
                WHEN w.found > w.version THEN 'newer'
                WHEN w.digest <> -1 AND w.found_digest IS NULL THEN 'newer'
                WHEN w.forced = 1 THEN 'applied'
                WHEN nullif(w.digest, -1) IS NOT DISTINCT FROM w.found_digest THEN 'same'
                ELSE 'applied'
            END ORDER BY w.place
        ) INTO verdicts
        FROM unnest(versions, digests, forced, found, found_digests, fresh) WITH ORDINALITY
            AS w (version, digest, forced, found, found_digest, fresh, place);
        SELECT
            array_agg(w.verdict = 'applied' ORDER BY w.place),
            array_agg(CASE w.verdict WHEN 'applied' THEN w.version ELSE w.found END ORDER BY w.place),
            array_agg(w.number) FILTER (WHERE w.verdict = 'applied' AND NOT w.fresh)
        INTO written, versions_now, known
        FROM unnest(verdicts, versions, found, numbers, fresh) WITH ORDINALITY
            AS w (verdict, version, found, number, fresh, place);
    END IF;

    -- 2. What the memories owned goes, and what was put there in their names.
    IF known IS NOT NULL THEN
        WITH gone AS (
            DELETE FROM mentions AS x WHERE x.memory = ANY (known) RETURNING x.entity
        ), cut AS (
            DELETE FROM edges AS x WHERE x.memory = ANY (known) RETURNING x.source, x.target
        )
        SELECT array_agg(e.number) INTO former
        FROM (SELECT entity FROM gone UNION SELECT source FROM cut UNION SELECT target FROM cut) AS e (number);
        UPDATE memories AS m
        SET version = w.version, digest = nullif(w.digest, -1), bucket = w.bucket, caption = w.caption,
            agent_id = w.agent_id, run_id = w.run_id, created_at = nullif(w.created_at, '-infinity'),
            generation = nullif(w.generation, -1), mentions = w.mentions, edges = w.edges, mark = w.mark
        FROM unnest(
            numbers, written, versions, digests, buckets, captions, agent_ids, run_ids, created, generations,
            mention_counts, edge_counts, row_marks
        ) AS w (
            number, written, version, digest, bucket, caption, agent_id, run_id, created_at, generation, mentions,
            edges, mark
        )
        WHERE m.number = w.number AND w.written AND m.number = ANY (known);
    END IF;

    -- 3. Entities: which are wanted, under the newest writer's name; which are there.
    SELECT array_agg(n.name ORDER BY n.place) INTO names
    FROM (
        SELECT DISTINCT ON (p.place) p.place, p.name
        FROM (
            SELECT x.entity AS place, x.name, versions[x.row] AS version, x.row
            FROM unnest(m_rows, m_entities, m_names) AS x (row, entity, name)
            WHERE written[x.row]
            UNION ALL
            SELECT g.place, NULL, -1, 0 FROM generate_series(1, cardinality(entity_keys)) AS g (place)
        ) AS p
        ORDER BY p.place, p.version DESC, p.row DESC
    ) AS n;
    SELECT array_agg(e.number ORDER BY k.place), array_agg(e.name ORDER BY k.place) INTO there, former_names
    FROM unnest(entity_users, entity_types, entity_keys, names) WITH ORDINALITY AS k (user_id, type, key, name, place)
    LEFT JOIN LATERAL (
        SELECT l.number, l.name FROM entities AS l
        WHERE k.name IS NOT NULL AND l.user_id = k.user_id AND l.type = k.type AND l.key = k.key
        LIMIT 1
    ) AS e ON true;

    -- Those that are let go and those that get another name, those that are new, those that are taken up.
    IF former IS NOT NULL THEN
        SELECT array_agg(f.number) INTO former
        FROM (SELECT unnest(former) EXCEPT SELECT unnest(there)) AS f (number);
    END IF;
    SELECT array_cat(former, array_agg(n.number)) INTO claimed
    FROM unnest(there, names, former_names) AS n (number, name, before)
    WHERE n.name <> n.before;
    IF claimed IS NOT NULL THEN
        PERFORM 1 FROM entities AS e
        WHERE e.number = ANY (claimed) ORDER BY e.user_id, e.type, e.key FOR NO KEY UPDATE;
        UPDATE entities AS e SET name = n.name FROM unnest(there, names) AS n (number, name)
        WHERE e.number = n.number AND e.name <> n.name;
    END IF;
    LOOP
        INSERT INTO entities AS e (user_id, type, key, name)
        SELECT k.user_id, k.type, k.key, k.name
        FROM unnest(entity_users, entity_types, entity_keys, names, there) WITH ORDINALITY
            AS k (user_id, type, key, name, number, place)
        WHERE k.name IS NOT NULL AND k.number IS NULL
        ORDER BY k.place
        ON CONFLICT (user_id, type, key) DO NOTHING;
        SELECT array_agg(e.number ORDER BY k.place), bool_and(k.name IS NULL OR e.number IS NOT NULL)
        INTO there, complete
        FROM unnest(entity_users, entity_types, entity_keys, names) WITH ORDINALITY
            AS k (user_id, type, key, name, place)
        LEFT JOIN LATERAL (
            SELECT l.number FROM entities AS l
            WHERE k.name IS NOT NULL AND l.user_id = k.user_id AND l.type = k.type AND l.key = k.key
            FOR KEY SHARE
        ) AS e ON true;
        -- Not complete: one was removed between the two statements, and is to be made again.
        EXIT WHEN coalesce(complete, true);
    END LOOP;

    -- 4. What the memories own now.
    INSERT INTO mentions (memory, entity, properties)
    SELECT numbers[x.row], there[x.entity], x.properties
    FROM unnest(m_rows, m_entities, m_properties) AS x (row, entity, properties)
    WHERE written[x.row];
    INSERT INTO edges (memory, "position", source, type, target, properties)
    SELECT numbers[x.row], x.position, there[x.source], x.type, there[x.target], x.properties
    FROM unnest(r_rows, r_positions, r_sources, r_types, r_targets, r_properties)
        AS x (row, position, source, type, target, properties)
    WHERE written[x.row];

    IF former IS NOT NULL THEN
        PERFORM drop_lone(former);
    END IF;
    IF floor(extract(epoch FROM clock_timestamp()) * 1000) > not_after THEN
        RAISE EXCEPTION USING ERRCODE = 'DT003', MESSAGE = 'diptych: the time of the write has passed';
    END IF;
END
$$;

-- What the graph holds of memories. `locked`: once nobody is writing any of them.
CREATE FUNCTION read_memories(user_ids text[], ids text[], locked boolean)
RETURNS TABLE (
    user_id text, id text, version bigint, digest bigint, bucket integer, caption text, agent_id text, run_id text,
    created_at timestamptz, entities json, edges json
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    IF locked THEN
        PERFORM 1 FROM unnest(user_ids, ids) AS k (user_id, id)
        CROSS JOIN LATERAL (
            SELECT FROM memories AS l WHERE l.user_id = k.user_id AND l.id = k.id FOR SHARE
        ) AS m;
    END IF;
    RETURN QUERY
    SELECT
        m.user_id::text, m.id::text, m.version, m.digest, m.bucket, m.caption, m.agent_id, m.run_id, m.created_at,
        (
            SELECT json_agg(json_build_array(e.type, e.key, e.name, x.properties))
            FROM mentions AS x JOIN entities AS e ON e.number = x.entity
            WHERE x.memory = m.number
        ),
        (
            SELECT json_agg(json_build_array(s.type, s.key, x.type, t.type, t.key, x.properties))
            FROM edges AS x JOIN entities AS s ON s.number = x.source JOIN entities AS t ON t.number = x.target
            WHERE x.memory = m.number
        )
    FROM unnest(user_ids, ids) AS k (user_id, id)
    CROSS JOIN LATERAL (SELECT l.* FROM memories AS l WHERE l.user_id = k.user_id AND l.id = k.id LIMIT 1) AS m;
END
$$;

-- Memories reached from those named, nearest first: over shared entities, then over relationships, step by step,
-- until enough are found. At most `fan_out` edges are looked at per entity (of the newest memories), and a step goes
-- on from at most `most` entities, the first in the order of (type, key).
CREATE FUNCTION walk_related(
    user_id_ text, starts text[], depth integer, most_found integer, fan_out integer, most integer
)
RETURNS TABLE (memory_id text, distance integer, shared bigint, via json)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    frontier bigint[];
    visited bigint[];
    seen text[] := starts;
    reached text[];
    room integer := most_found;
    step integer := 1;
BEGIN
    SELECT array_agg(f.number ORDER BY f.type, f.key) INTO frontier
    FROM (
        SELECT DISTINCT e.number, e.type, e.key
        FROM unnest(starts) AS k (id)
        CROSS JOIN LATERAL (
            SELECT l.number FROM memories AS l
            WHERE l.user_id = user_id_ AND l.id = k.id AND l.digest IS NOT NULL LIMIT 1
        ) AS m
        JOIN mentions AS x ON x.memory = m.number
        JOIN entities AS e ON e.number = x.entity
        WHERE e.user_id = user_id_
        ORDER BY e.type, e.key
        LIMIT most
    ) AS f;
    visited := frontier;
    WHILE step <= depth AND room > 0 AND frontier IS NOT NULL LOOP
        reached := '{}';
        FOR memory_id, shared, via IN
            SELECT
                r.id, count(*),
                to_json((array_agg(json_build_array(r.type, r.name) ORDER BY r.place))[:3])
            FROM (
                SELECT m.id, e.type, e.name, f.place
                FROM unnest(frontier) WITH ORDINALITY AS f (number, place)
                JOIN entities AS e ON e.number = f.number
                CROSS JOIN LATERAL (
                    SELECT x.memory FROM mentions AS x WHERE x.entity = f.number ORDER BY x.memory DESC LIMIT fan_out
                ) AS x
                JOIN memories AS m ON m.number = x.memory
                WHERE m.user_id = user_id_ AND m.digest IS NOT NULL
            ) AS r
            WHERE NOT EXISTS (SELECT FROM unnest(seen) AS s (id) WHERE s.id = r.id)
            GROUP BY r.id
            ORDER BY count(*) DESC, r.id
            LIMIT room
        LOOP
            distance := step;
            reached := reached || memory_id;
            RETURN NEXT;
        END LOOP;
        seen := seen || reached;
        room := room - cardinality(reached);
        SELECT array_agg(n.number ORDER BY n.type, n.key) INTO frontier
        FROM (
            SELECT DISTINCT e.number, e.type, e.key
            FROM unnest(frontier) AS f (number)
            CROSS JOIN LATERAL (
                SELECT b.number
                FROM (
                    (
                        SELECT x.target AS number, x.memory FROM edges AS x
                        WHERE x.source = f.number ORDER BY x.memory DESC LIMIT fan_out
                    )
                    UNION ALL
                    (
                        SELECT x.source, x.memory FROM edges AS x
                        WHERE x.target = f.number ORDER BY x.memory DESC LIMIT fan_out
                    )
                ) AS b
                ORDER BY b.memory DESC
                LIMIT fan_out
            ) AS o
            JOIN entities AS e ON e.number = o.number
            WHERE e.user_id = user_id_ AND NOT EXISTS (SELECT FROM unnest(visited) AS v (number) WHERE v.number = e.number)
            ORDER BY e.type, e.key
            LIMIT most
        ) AS n;
        visited := visited || frontier;
        step := step + 1;
    END LOOP;
END
$$;

-- Remove tombstones that are still tombstones at no higher version; one that holds an edge by somebody's mistake stays.
CREATE FUNCTION collect_tombstones(user_ids text[], ids text[], versions bigint[]) RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    gone bigint[];
BEGIN
    SELECT array_agg(m.number) INTO gone
    FROM unnest(user_ids, ids, versions) AS k (user_id, id, version)
    CROSS JOIN LATERAL (
        SELECT l.number FROM memories AS l
        WHERE l.user_id = k.user_id AND l.id = k.id AND l.digest IS NULL AND l.version <= k.version
        FOR UPDATE
    ) AS m;
    DELETE FROM memories AS m
    WHERE m.number = ANY (gone)
        AND NOT EXISTS (SELECT FROM mentions AS x WHERE x.memory = m.number)
        AND NOT EXISTS (SELECT FROM edges AS x WHERE x.memory = m.number);
END
$$;

-- Remove relationships that their memories do not remember, and the entities that they leave without any edge.
-- `numbers` and `places` in the order of their memories' keys; the memory's lock comes first: whoever writes it is
-- through then, or has not begun.
CREATE FUNCTION cut_strays(numbers bigint[], places integer[], user_ids text[], ids text[]) RETURNS bigint
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    ends bigint[];
    removed bigint;
BEGIN
    PERFORM 1 FROM unnest(user_ids, ids) AS k (user_id, id)
    CROSS JOIN LATERAL (SELECT FROM memories AS l WHERE l.user_id = k.user_id AND l.id = k.id FOR UPDATE) AS m;
    WITH cut AS (
        DELETE FROM edges AS x
        USING unnest(numbers, places, user_ids, ids) AS k (number, place, user_id, id)
        JOIN memories AS m ON m.number = k.number AND m.user_id = k.user_id AND m.id = k.id
        WHERE x.memory = m.number AND x.position = k.place AND x.position NOT BETWEEN 0 AND m.edges - 1
        RETURNING x.source, x.target
    )
    SELECT (SELECT count(*) FROM cut), array_agg(e.number) INTO removed, ends
    FROM (SELECT source FROM cut UNION SELECT target FROM cut) AS e (number);
    PERFORM drop_lone(ends);
    RETURN removed;
END
$$;

-- Take about `most` of a tenant's memories away (a live one leaves a tombstone one version below its own), then edges
-- in the names of tombstones, then entities that have no edge left.
CREATE FUNCTION clear_tenant(user_id_ text, most integer) RETURNS bigint
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    taken bigint[];
    removed bigint;
BEGIN
    SELECT array_agg(m.number) INTO taken
    FROM (
        SELECT l.number FROM memories AS l
        WHERE l.user_id = user_id_ AND l.digest IS NOT NULL
        ORDER BY l.user_id, l.id LIMIT most FOR UPDATE
    ) AS m;
    IF taken IS NULL THEN
        SELECT array_agg(m.number) INTO taken
        FROM (
            SELECT l.number FROM memories AS l
            WHERE l.user_id = user_id_ AND l.digest IS NULL AND (
                EXISTS (SELECT FROM mentions AS x WHERE x.memory = l.number)
                OR EXISTS (SELECT FROM edges AS x WHERE x.memory = l.number)
            )
            ORDER BY l.user_id, l.id LIMIT most FOR UPDATE
        ) AS m;
    END IF;
    IF taken IS NOT NULL THEN
        UPDATE memories AS m
        SET version = CASE WHEN m.digest IS NULL THEN m.version ELSE m.version - 1 END, digest = NULL, caption = NULL,
            agent_id = NULL, run_id = NULL, created_at = NULL, generation = NULL, mentions = 0, edges = 0, mark = 0
        WHERE m.number = ANY (taken);
        DELETE FROM mentions AS x WHERE x.memory = ANY (taken);
        DELETE FROM edges AS x WHERE x.memory = ANY (taken);
        RETURN cardinality(taken);
    END IF;
    SELECT array_agg(e.number) INTO taken
    FROM (
        SELECT l.number FROM entities AS l
        WHERE l.user_id = user_id_
            AND NOT EXISTS (SELECT FROM mentions AS x WHERE x.entity = l.number)
            AND NOT EXISTS (SELECT FROM edges AS x WHERE x.source = l.number)
            AND NOT EXISTS (SELECT FROM edges AS x WHERE x.target = l.number)
        LIMIT most
    ) AS e;
    removed := drop_lone(taken);
    RETURN removed;
END
$$;
