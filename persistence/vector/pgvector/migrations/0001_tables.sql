-- Every table of diptych. The search path is our schema, then the one that holds the extension `vector`.
-- Texts that order keys are COLLATE "C": code point order, the same on every machine and in every store.

CREATE TABLE store_info (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    store_id uuid NOT NULL DEFAULT gen_random_uuid(),
    embedding_model text,
    dimension integer,
    floor bigint NOT NULL DEFAULT 0,
    graph_id uuid,
    graph_database_id text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO store_info DEFAULT VALUES;

-- `changed` is the transaction that wrote the row last: with pg_snapshot_xmin it makes a feed that misses no commit.
CREATE TABLE memories (
    user_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    agent_id text,
    run_id text,
    content text NOT NULL,
    metadata jsonb NOT NULL,
    entities jsonb NOT NULL,
    relationships jsonb NOT NULL,
    extracted boolean NOT NULL,
    embedding vector NOT NULL,
    version bigint NOT NULL CHECK (version > 0 AND version < 9007199254740992),
    digest bigint NOT NULL CHECK (digest >= 0),
    bucket integer NOT NULL CHECK (bucket >= 0 AND bucket < 16777216),
    write_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (user_id, id)
);

-- A check reads these alone: of one tenant, and of all tenants together.
CREATE INDEX memories_check ON memories (user_id, bucket) INCLUDE (digest, version, id);
CREATE INDEX memories_check_all ON memories (bucket) INCLUDE (digest, version, user_id);
CREATE INDEX memories_changed ON memories (user_id, changed, id);
CREATE INDEX memories_metadata ON memories USING gin (metadata jsonb_path_ops);

-- What remains of a deleted memory. A key has a memory or a tombstone or neither, never both.
CREATE TABLE tombstones (
    user_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL CHECK (version > 0 AND version < 9007199254740992),
    bucket integer NOT NULL,
    write_id uuid NOT NULL,
    deleted_at timestamptz NOT NULL,
    changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (user_id, id)
);
CREATE INDEX tombstones_changed ON tombstones (user_id, changed, id);
CREATE INDEX tombstones_deleted_at ON tombstones (deleted_at);

-- The memories whose graph copy is in doubt. A row is also the lock of its memory: every writer takes it first.
-- `claim` 0: not claimed; else the fencing token of the claim. `created_at`: in doubt since then. `entry_id` is the
-- write's own id, unique as it was made; a unique index would tell no more, cost an eighth more per entry, and
-- fail one of two deliveries of the same write that arrive together.
-- Rows come and go with each write, so a page keeps room for updates in place, and vacuum comes by count, not by share.
-- It must not cut the file's end off either: that takes a lock which every writer would meet.
CREATE SEQUENCE outbox_claims;
CREATE TABLE outbox (
    user_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    entry_id uuid NOT NULL,
    version bigint NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL,
    claim bigint NOT NULL DEFAULT 0,
    disabled boolean NOT NULL DEFAULT false,
    dead_at timestamptz,
    reason text,
    PRIMARY KEY (user_id, id)
) WITH (
    fillfactor = 70,
    vacuum_truncate = off,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 5000
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_dead ON outbox (user_id, id) WHERE dead_at IS NOT NULL;

-- Checks, repairs, rebuilds: what they cover, how far they are, what they found. No content.
CREATE TABLE runs (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    user_id text COLLATE "C",
    state text NOT NULL,
    cursor jsonb,
    report jsonb,
    token bigint,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
);
CREATE INDEX runs_started_at ON runs (started_at);

-- Open while `resolved_at` is null; of one kind a memory has one open inconsistency at most.
CREATE TABLE inconsistencies (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL,
    memory_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    vector_version bigint,
    graph_version bigint,
    reason text,
    run_id uuid,
    first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    resolved_at timestamptz
);
CREATE UNIQUE INDEX inconsistencies_open ON inconsistencies (user_id, memory_id, kind) WHERE resolved_at IS NULL;
CREATE INDEX inconsistencies_last_seen ON inconsistencies (last_seen);

-- One holder of a name per tenant ('' is all of them); the token grows with each new holder and fences the former one.
CREATE SEQUENCE lease_tokens;
CREATE TABLE leases (
    name text NOT NULL,
    user_id text COLLATE "C" NOT NULL DEFAULT '',
    holder uuid NOT NULL,
    token bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (name, user_id)
);
