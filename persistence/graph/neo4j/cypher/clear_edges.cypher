CYPHER 5 replan=skip
// Remove some of a tenant's relationships between entities; those of others stay.
// $not_after: milliseconds since 1970 by this server's clock.
WITH timestamp() AS now
WHERE now <= $not_after
CALL () {
  MATCH (e:DiptychEntity) USING INDEX e:DiptychEntity(user_id, type, key)
  WHERE e.user_id = $user_id AND e.type IS NOT NULL AND e.key IS NOT NULL
  MATCH (e)-[r]->(:DiptychEntity)
  WHERE r.user_id = $user_id AND r.memory_id IS NOT NULL
  WITH r LIMIT $limit
  DELETE r
  RETURN count(r) AS removed
}
RETURN now, removed
