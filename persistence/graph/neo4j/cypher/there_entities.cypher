CYPHER 5 replan=skip
// Which entities are there. $batch.entities: [[id, user_id, type, key]].
UNWIND $batch.entities AS entity
MATCH (e:DiptychEntity)
WHERE id(e) = entity[0] AND e.user_id = entity[1] AND e.type = entity[2] AND e.key = entity[3]
RETURN collect(id(e)) AS rows
