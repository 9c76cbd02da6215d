-- name: plant
-- Take away what one memory of a tenant owns in the graph, as somebody might by hand: its mentions and relationships.
WITH victim AS (
    SELECT m.number, m.id FROM {schema}.memories AS m
    WHERE m.user_id = %(user_id)s AND m.edges > 0
    ORDER BY m.id
    LIMIT 1
), cut AS (
    DELETE FROM {schema}.edges AS x USING victim WHERE x.memory = victim.number RETURNING x.memory
), gone AS (
    DELETE FROM {schema}.mentions AS x USING victim WHERE x.memory = victim.number RETURNING x.memory
)
SELECT v.id, (SELECT count(*) FROM cut) + (SELECT count(*) FROM gone) FROM victim AS v;
