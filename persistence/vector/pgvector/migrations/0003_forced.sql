-- An entry that a repair has made: its memory is written into the graph anew, though the graph says to have that version.
ALTER TABLE outbox ADD COLUMN forced boolean NOT NULL DEFAULT false;

-- List memories in the outbox for a repair, claimed by it; those that are listed already stay as they are. What truth
-- knows nothing of gets a tombstone, so that what the graph keeps of it is collected like any other's. It is looked for
-- in a later statement, under the lock that the entry is.
CREATE FUNCTION enlist_entries(
    user_ids text[], ids text[], entry_ids uuid[], versions bigint[], buckets integer[], lease double precision
) RETURNS SETOF outbox
LANGUAGE plpgsql AS $$
DECLARE
    entries outbox[];
BEGIN
    WITH listed AS (
        INSERT INTO outbox AS o (user_id, id, entry_id, version, attempts, due_at, claim, forced)
        SELECT
            k.user_id, k.id, k.entry_id, k.version, 1, clock_timestamp() + make_interval(secs => lease),
            nextval('outbox_claims'), true
        FROM unnest(user_ids, ids, entry_ids, versions) AS k (user_id, id, entry_id, version)
        ORDER BY k.user_id COLLATE "C", k.id COLLATE "C"
        ON CONFLICT (user_id, id) DO NOTHING
        RETURNING o
    )
    SELECT array_agg(l.o) INTO entries FROM listed AS l;

    INSERT INTO tombstones (user_id, id, version, bucket, write_id, deleted_at)
    SELECT e.user_id, e.id, e.version, k.bucket, e.entry_id, clock_timestamp()
    FROM unnest(entries) AS e
    JOIN unnest(entry_ids, buckets) AS k (entry_id, bucket) ON k.entry_id = e.entry_id
    WHERE NOT EXISTS (SELECT FROM memories AS m WHERE m.user_id = e.user_id AND m.id = e.id)
    ON CONFLICT (user_id, id) DO NOTHING;
    RETURN QUERY SELECT e.* FROM unnest(entries) AS e;
END
$$;
