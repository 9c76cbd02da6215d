CYPHER 5 replan=skip
// Remove tombstones that are still tombstones at no higher version.
// $batch.rows: [[user_id, id, version]], in key order.
// Locked first, then compared; one that holds an edge that is not ours stays.
UNWIND $batch.rows AS row
MATCH (m:DiptychMemory {user_id: row[0], id: row[1]}) USING INDEX m:DiptychMemory(user_id, id)
SET m:DiptychMemory
WITH m, row
WHERE NOT m:Memory AND m.version <= row[2] AND NOT EXISTS { (m)--() }
DELETE m
