CYPHER 5 replan=skip
// The versions of memories, tombstones included. $batch.keys: [[user_id, id]].
UNWIND $batch.keys AS key
MATCH (m:DiptychMemory {user_id: key[0], id: key[1]}) USING INDEX m:DiptychMemory(user_id, id)
RETURN collect([m.user_id, m.id, m.version, m.digest, m:Memory]) AS rows
