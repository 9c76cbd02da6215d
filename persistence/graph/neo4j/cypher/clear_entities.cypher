CYPHER 5 replan=skip
// Remove some of a tenant's entities that have no edge left, ours or anybody's.
// $not_after: milliseconds since 1970 by this server's clock.
WITH timestamp() AS now
WHERE now <= $not_after
CALL () {
  MATCH (e:DiptychEntity) USING INDEX e:DiptychEntity(user_id, type, key)
  WHERE e.user_id = $user_id AND e.type IS NOT NULL AND e.key IS NOT NULL AND NOT EXISTS { (e)--() }
  WITH e LIMIT $limit
  SET e:DiptychEntity
  WITH e
  WHERE NOT EXISTS { (e)--() }
  DELETE e
  RETURN count(e) AS removed
}
RETURN now, removed
