-- Runs with their leases, what they found, and named leases.

-- A UUID in the order of time (version 7; the fraction of the millisecond in the twelve bits behind the version).
CREATE FUNCTION timed_uuid(moment timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE
RETURN (
    lpad(to_hex(micros(moment) / 1000), 12, '0') || '7' || lpad(to_hex(micros(moment) % 1000 * 4096 / 1000), 3, '0')
    || substr(replace(gen_random_uuid()::text, '-', ''), 17)
)::uuid;

-- `user_id` '' is all tenants together. A run lies with whoever knows its token while it is `running`; that its lease
-- has run out (`expires_at`) only means that others may take it, so one row says all, and its lock decides.
-- `finished_at` is set where it is done, failed or cancelled, and only there. `depth` '': a run without one.
ALTER TABLE runs
    ALTER COLUMN kind TYPE text COLLATE "C",
    ALTER COLUMN state TYPE text COLLATE "C",
    ALTER COLUMN user_id SET DEFAULT '',
    ALTER COLUMN user_id SET NOT NULL,
    ALTER COLUMN token SET NOT NULL,
    ADD COLUMN request jsonb NOT NULL,
    ADD COLUMN depth text COLLATE "C" NOT NULL GENERATED ALWAYS AS (coalesce(request ->> 'depth', '')) STORED,
    ADD COLUMN attempts integer NOT NULL DEFAULT 1,
    ADD COLUMN cancel_requested boolean NOT NULL DEFAULT false,
    ADD COLUMN holder uuid,
    ADD COLUMN expires_at timestamptz;
DROP INDEX runs_started_at;
-- Ids are in the order of time. No index holds what a save changes.
CREATE INDEX runs_tenant ON runs (user_id, kind, state, id);
CREATE INDEX runs_all ON runs (kind, state, id);
CREATE INDEX runs_done ON runs (kind, depth, id) WHERE state = 'done';
CREATE INDEX runs_newest ON runs (user_id, kind, depth, finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;

-- `memory_id` '' and `entity_type` '' stand for none. `entity_id` is a hash of the entity's type and key, because both
-- together can be longer than an index takes. `open` is there for indexes that serve the open and the resolved alike.
ALTER TABLE inconsistencies
    ALTER COLUMN kind TYPE text COLLATE "C",
    ADD COLUMN entity_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    ADD COLUMN entity_type text NOT NULL DEFAULT '',
    ADD COLUMN entity_key text NOT NULL DEFAULT '',
    ADD COLUMN depth text NOT NULL DEFAULT 'quick',
    ADD COLUMN resolved_by uuid,
    ADD COLUMN open boolean NOT NULL GENERATED ALWAYS AS (resolved_at IS NULL) STORED;
DROP INDEX inconsistencies_open;
DROP INDEX inconsistencies_last_seen;
CREATE UNIQUE INDEX inconsistencies_open ON inconsistencies (user_id, memory_id, kind, entity_id)
    WHERE resolved_at IS NULL;
CREATE INDEX inconsistencies_tenant ON inconsistencies (user_id, kind, open, number);
CREATE INDEX inconsistencies_all ON inconsistencies (kind, open, number);
CREATE INDEX inconsistencies_run ON inconsistencies (run_id, number);
CREATE INDEX inconsistencies_resolved ON inconsistencies (resolved_at) WHERE resolved_at IS NOT NULL;

-- A run's lease is in the run; what is left here are leases of a name. A row stays when its lease is given back, so
-- that the next token is drawn under its lock.
ALTER TABLE leases DROP CONSTRAINT leases_pkey, DROP COLUMN user_id, ADD PRIMARY KEY (name);

-- Until the transaction ends, nobody else begins or resumes a run. Called in an earlier statement than those that look
-- for runs in the way, so that of two at once the second sees what the first has begun.
CREATE FUNCTION lock_runs() RETURNS void
LANGUAGE sql VOLATILE
RETURN pg_advisory_xact_lock(1685027187, 'runs'::regclass::oid::integer);

-- Return the run that stands in the way of one of this kind and tenant, or make way: dead runs become interrupted, and
-- their processes, should they come back, find that they have lost them.
CREATE FUNCTION make_way(kind_ text, user_id_ text) RETURNS runs
LANGUAGE plpgsql AS $$
DECLARE
    other runs;
BEGIN
    FOR other IN
        SELECT * FROM runs AS r
        WHERE r.kind = kind_ AND r.state = 'running' AND (user_id_ = '' OR r.user_id IN ('', user_id_))
        ORDER BY r.id
        FOR UPDATE
    LOOP
        IF other.expires_at > clock_timestamp() THEN
            RETURN other;
        END IF;
    END LOOP;
    UPDATE runs AS r
    SET state = 'interrupted', holder = NULL, expires_at = NULL, updated_at = clock_timestamp()
    WHERE r.kind = kind_ AND r.state = 'running' AND (user_id_ = '' OR r.user_id IN ('', user_id_));
    RETURN NULL;
END
$$;

-- Begin a run, unless another one stands in its way. `verdict`: taken, conflict (`run` is the other one).
CREATE FUNCTION begin_run(
    kind_ text, user_id_ text, request_ jsonb, holder_ uuid, lease double precision, OUT verdict text, OUT run runs
)
LANGUAGE plpgsql AS $$
DECLARE
    wall timestamptz;
BEGIN
    PERFORM lock_runs();
    run := make_way(kind_, user_id_);
    verdict := CASE WHEN run.id IS NULL THEN 'taken' ELSE 'conflict' END;
    IF verdict = 'taken' THEN
        wall := clock_timestamp();
        INSERT INTO runs AS r (
            id, kind, user_id, state, request, token, holder, started_at, updated_at, expires_at
        ) VALUES (
            timed_uuid(wall), kind_, user_id_, 'running', request_, nextval('lease_tokens'), holder_, wall, wall,
            wall + make_interval(secs => lease)
        )
        RETURNING r.* INTO run;
    END IF;
END
$$;

-- Take up a run that nobody runs. `verdict`: taken, conflict (`run` is the one that is under way), missing, ended.
CREATE FUNCTION resume_run(
    id_ uuid, holder_ uuid, lease double precision, OUT verdict text, OUT run runs
)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_runs();
    SELECT * INTO run FROM runs AS r WHERE r.id = id_ FOR UPDATE;
    verdict := CASE WHEN run.id IS NULL THEN 'missing' WHEN run.state IN ('done', 'failed') THEN 'ended' END;
    IF verdict IS NOT NULL THEN
        RETURN;
    END IF;
    run := make_way(run.kind, run.user_id);
    verdict := CASE WHEN run.id IS NULL THEN 'taken' ELSE 'conflict' END;
    IF verdict = 'taken' THEN
        UPDATE runs AS r
        SET state = 'running', token = nextval('lease_tokens'), attempts = r.attempts + 1, cancel_requested = false,
            holder = holder_, finished_at = NULL, updated_at = clock_timestamp(),
            expires_at = clock_timestamp() + make_interval(secs => lease)
        WHERE r.id = id_
        RETURNING r.* INTO run;
    END IF;
END
$$;

-- Ask a run to stop: whoever runs it is told at the next save, and one that nobody runs is cancelled at once.
CREATE FUNCTION cancel_run(id_ uuid) RETURNS SETOF runs
LANGUAGE plpgsql AS $$
DECLARE
    run runs;
    wall timestamptz;
BEGIN
    SELECT * INTO run FROM runs AS r WHERE r.id = id_ FOR UPDATE;
    wall := clock_timestamp();
    IF run.state = 'running' AND run.expires_at > wall THEN
        UPDATE runs AS r SET cancel_requested = true, updated_at = wall WHERE r.id = id_ RETURNING r.* INTO run;
    ELSIF run.state IN ('running', 'interrupted') THEN
        UPDATE runs AS r
        SET state = 'cancelled', cancel_requested = true, holder = NULL, expires_at = NULL, updated_at = wall,
            finished_at = wall
        WHERE r.id = id_
        RETURNING r.* INTO run;
    END IF;
    IF run.id IS NOT NULL THEN
        RETURN NEXT run;
    END IF;
END
$$;
