CYPHER 5 replan=skip
// The entities one relationship of ours away from the frontier, at most $fan_out looked at per entity.
UNWIND $walk.frontier AS end
MATCH (e:DiptychEntity {user_id: $user_id, type: end[0], key: end[1]})
  USING INDEX e:DiptychEntity(user_id, type, key)
CALL (e) {
  MATCH (e)-[r:!MENTIONS]-(next:DiptychEntity)
  WHERE r.user_id = $user_id AND r.memory_id IS NOT NULL AND next.user_id = $user_id
  RETURN next LIMIT $fan_out
}
WITH DISTINCT next
RETURN collect([next.type, next.key]) AS rows
