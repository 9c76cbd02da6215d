-- Every table of diptych. Times are microseconds since 1970 (UTC), UUIDs are texts, embeddings are little-endian floats
-- of four bytes. Texts compare byte by byte, which in UTF-8 is code point order.
--
-- Every change of a memory or tombstone has a number of its own, drawn under the write lock, and the row is stored under
-- it. So whoever asks for the rows above a number misses nothing: what commits later has a higher one.

-- `forgotten`: the highest number of a tombstone that was collected; whoever read no further than that may have missed a
-- delete. The next number follows from it and from the highest ones that are there, so a write need not touch this row.
CREATE TABLE store_info (
    one INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    store_id TEXT NOT NULL,
    embedding_model TEXT,
    dimension INTEGER,
    floor INTEGER NOT NULL DEFAULT 0,
    forgotten INTEGER NOT NULL DEFAULT 0,
    claims INTEGER NOT NULL DEFAULT 0,
    lease_tokens INTEGER NOT NULL DEFAULT 0,
    graph_id TEXT,
    graph_database_id TEXT,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO store_info (store_id, created_at) VALUES (
    lower(
        hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
        || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))
    ),
    CAST(strftime('%s', 'now') AS INTEGER) * 1000000
);

CREATE TABLE memories (
    number INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL,
    id TEXT NOT NULL,
    agent_id TEXT,
    run_id TEXT,
    content TEXT NOT NULL,
    metadata TEXT NOT NULL,
    entities TEXT NOT NULL,
    relationships TEXT NOT NULL,
    extracted INTEGER NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0 AND version < 9007199254740992),
    digest INTEGER NOT NULL CHECK (digest >= 0),
    bucket INTEGER NOT NULL CHECK (bucket >= 0 AND bucket < 16777216),
    write_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX memories_key ON memories (user_id, id);
-- A check reads these alone: of one tenant, and of all tenants together.
CREATE INDEX memories_check ON memories (user_id, bucket, digest, version, id);
CREATE INDEX memories_check_all ON memories (bucket, digest, version, user_id);
CREATE INDEX memories_changed ON memories (user_id, number, id);

-- Beside the rest, so that a scan for metadata reads no floats.
CREATE TABLE embeddings (
    number INTEGER PRIMARY KEY,
    embedding BLOB NOT NULL
) STRICT;

-- What remains of a deleted memory. A key has a memory or a tombstone or neither, never both.
CREATE TABLE tombstones (
    number INTEGER PRIMARY KEY,
    user_id TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0 AND version < 9007199254740992),
    bucket INTEGER NOT NULL,
    write_id TEXT NOT NULL,
    deleted_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX tombstones_key ON tombstones (user_id, id);
CREATE INDEX tombstones_changed ON tombstones (user_id, number, id, version);
CREATE INDEX tombstones_deleted_at ON tombstones (deleted_at);

-- The memories whose graph copy is in doubt. `claim` 0: not claimed; else the fencing token of the claim. `created_at`:
-- in doubt since then. `entry_id` is the write's own id. `forced`: a repair has the graph write the memory anew.
CREATE TABLE outbox (
    user_id TEXT NOT NULL,
    id TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    claim INTEGER NOT NULL DEFAULT 0,
    disabled INTEGER NOT NULL DEFAULT 0,
    forced INTEGER NOT NULL DEFAULT 0,
    dead_at INTEGER,
    reason TEXT,
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (due_at) WHERE dead_at IS NULL;
CREATE INDEX outbox_dead ON outbox (user_id, id) WHERE dead_at IS NOT NULL;

-- Checks, repairs, rebuilds: what they cover, how far they are, what they found. No content. `user_id` '' is all tenants
-- together. A run lies with whoever knows its token while it is `running`; that its lease has run out (`expires_at`)
-- only means that others may take it. `finished_at` is set where it is done, failed or cancelled, and only there.
-- `depth` '': a run without one. Ids are in the order of time.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    user_id TEXT NOT NULL DEFAULT '',
    depth TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    request TEXT NOT NULL,
    cursor TEXT,
    report TEXT,
    token INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 1,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    holder TEXT,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_tenant ON runs (user_id, kind, state, id);
CREATE INDEX runs_all ON runs (kind, state, id);
CREATE INDEX runs_done ON runs (kind, depth, id) WHERE state = 'done';
CREATE INDEX runs_newest ON runs (user_id, kind, depth, finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;

-- Open while `resolved_at` is null; of one kind a memory (or entity) has one open inconsistency at most. `memory_id` ''
-- and `entity_type` '' stand for none. A number is never given twice, so that pages of a listing follow each other.
CREATE TABLE inconsistencies (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL,
    memory_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    entity_type TEXT NOT NULL DEFAULT '',
    entity_key TEXT NOT NULL DEFAULT '',
    depth TEXT NOT NULL DEFAULT 'quick',
    vector_version INTEGER,
    graph_version INTEGER,
    reason TEXT,
    run_id TEXT,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    resolved_at INTEGER,
    resolved_by TEXT,
    open INTEGER NOT NULL GENERATED ALWAYS AS (resolved_at IS NULL) VIRTUAL
) STRICT;
CREATE UNIQUE INDEX inconsistencies_open ON inconsistencies (user_id, memory_id, kind, entity_type, entity_key)
    WHERE resolved_at IS NULL;
CREATE INDEX inconsistencies_tenant ON inconsistencies (user_id, kind, open, number);
CREATE INDEX inconsistencies_all ON inconsistencies (kind, open, number);
CREATE INDEX inconsistencies_run ON inconsistencies (run_id, number);
CREATE INDEX inconsistencies_resolved ON inconsistencies (resolved_at) WHERE resolved_at IS NOT NULL;

-- One holder of a name. A row stays when its lease is given back; tokens grow from holder to holder.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    token INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
