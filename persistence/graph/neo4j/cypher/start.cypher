CYPHER 5 replan=skip
// The entities of the live memories from which a walk starts. $walk.ids: the memories.
UNWIND $walk.ids AS id
MATCH (m:DiptychMemory {user_id: $user_id, id: id}) USING INDEX m:DiptychMemory(user_id, id)
WHERE m:Memory
MATCH (m)-[:MENTIONS]->(e:DiptychEntity)
WHERE e.user_id = $user_id
WITH DISTINCT e
RETURN collect([e.type, e.key]) AS rows
