CYPHER 5 replan=skip
// The live memories that mention an entity of the frontier, at most $fan_out looked at per entity.
// $walk.frontier: [[type, key]], in order.
UNWIND range(0, size($walk.frontier) - 1) AS i
MATCH (e:DiptychEntity {user_id: $user_id, type: $walk.frontier[i][0], key: $walk.frontier[i][1]})
  USING INDEX e:DiptychEntity(user_id, type, key)
WITH i, e, [e.type, e.name] AS way
CALL (e) {
  MATCH (e)<-[:MENTIONS]-(m:DiptychMemory)
  RETURN m LIMIT $fan_out
}
WITH i, way, m
WHERE m:Memory AND m.user_id = $user_id
WITH DISTINCT i, way, m ORDER BY i
WITH m.id AS id, count(way) AS shared, collect(way)[..3] AS via
ORDER BY shared DESC, id LIMIT $limit
RETURN collect([id, shared, via]) AS rows
