CYPHER 5 replan=skip
// Which entities have no edge. $batch.entities: [[id, user_id, type, key]].
UNWIND $batch.entities AS entity
MATCH (e:DiptychEntity)
WHERE id(e) = entity[0] AND NOT EXISTS { (e)--() }
RETURN collect(entity) AS rows
