CYPHER 5 replan=skip
// Remove entities that still have no edge, under their locks. $batch.entities, in key order: [[id, user_id, type, key]].
UNWIND $batch.entities AS entity
MATCH (e:DiptychEntity)
WHERE id(e) = entity[0] AND e.user_id = entity[1] AND e.type = entity[2] AND e.key = entity[3]
SET e:DiptychEntity
WITH e
WHERE NOT EXISTS { (e)--() }
DELETE e
RETURN count(e) AS removed
