-- The graph: memories, entities, and what memories own. The search path is our schema.
-- Texts that order keys are COLLATE "C": code point order, the same on every machine and in every store.
-- Nodes are referred to by numbers, so that the rows and indexes of edges are narrow; people find their names by a join.

-- Whose graph this is; empty until it is stamped.
CREATE TABLE store_info (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    graph_id uuid NOT NULL,
    truth_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row per memory that ever was; one without a digest is a tombstone, and nothing of its content is left.
-- `mentions`, `edges` and `mark` are what the memory remembers to own: how much, and a fingerprint of all of it.
-- The row is also the memory's lock. `generation`: the rebuild that wrote it.
CREATE TABLE memories (
    number bigint GENERATED ALWAYS AS IDENTITY,
    user_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    digest bigint,
    bucket integer NOT NULL,
    caption text,
    agent_id text,
    run_id text,
    created_at timestamptz,
    generation bigint,
    mentions integer NOT NULL DEFAULT 0,
    edges integer NOT NULL DEFAULT 0,
    mark bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, id),
    UNIQUE (number),
    CHECK (digest IS NOT NULL OR num_nonnulls(caption, agent_id, run_id, created_at) = 0)
);

-- A check reads these alone: of one tenant, and of all tenants together.
CREATE INDEX memories_check ON memories (user_id, bucket) INCLUDE (digest, version, id);
CREATE INDEX memories_check_all ON memories (bucket) INCLUDE (digest, version, user_id);

-- A fingerprint of an entity's identity, and of a relationship between two: the hashes are those by which Postgres
-- divides tables, and so they stay the same from release to release.
CREATE FUNCTION entity_mark(user_id text, type text, key text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(key COLLATE "C", hashtextextended(type COLLATE "C", hashtextextended(user_id COLLATE "C", 0)));

CREATE FUNCTION edge_mark("position" integer, source bigint, type text, target bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended(type COLLATE "C", hashint8extended(source, hashint8extended(target, "position")));

CREATE TABLE entities (
    number bigint GENERATED ALWAYS AS IDENTITY,
    user_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    name text NOT NULL,
    mark bigint NOT NULL GENERATED ALWAYS AS (entity_mark(user_id, type, key)) STORED,
    PRIMARY KEY (user_id, type, key)
);
CREATE UNIQUE INDEX entities_number ON entities (number) INCLUDE (mark);

-- What a memory says of an entity. Properties are kept as the JSON that was written: 1e300 stays a float.
CREATE TABLE mentions (
    memory bigint NOT NULL REFERENCES memories (number),
    entity bigint NOT NULL,
    properties json NOT NULL,
    PRIMARY KEY (memory, entity)
);
CREATE INDEX mentions_entity ON mentions (entity, memory);

-- The relationships that a memory states, by their position in it.
CREATE TABLE edges (
    memory bigint NOT NULL REFERENCES memories (number),
    "position" integer NOT NULL,
    source bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    target bigint NOT NULL,
    properties json NOT NULL,
    PRIMARY KEY (memory, "position")
);
CREATE INDEX edges_source ON edges (source, memory) INCLUDE ("position", target);
CREATE INDEX edges_target ON edges (target, memory) INCLUDE (source);

-- No edge without its ends.
ALTER TABLE mentions ADD FOREIGN KEY (entity) REFERENCES entities (number);
ALTER TABLE edges ADD FOREIGN KEY (source) REFERENCES entities (number);
ALTER TABLE edges ADD FOREIGN KEY (target) REFERENCES entities (number);
