CYPHER 5 replan=skip
// A page of one tenant's entities in the order of the index, and what is loose among them.
CALL () {
  MATCH (e:DiptychEntity) USING INDEX e:DiptychEntity(user_id, type, key)
  WHERE e.user_id = $user_id AND e.type = $type AND e.key > $key
  WITH e ORDER BY e.user_id, e.type, e.key LIMIT $limit
  RETURN collect(e) AS same
}
CALL () {
  MATCH (e:DiptychEntity) USING INDEX e:DiptychEntity(user_id, type, key)
  WHERE e.user_id = $user_id AND e.type > $type AND e.key IS NOT NULL
  WITH e ORDER BY e.user_id, e.type, e.key LIMIT $limit
  RETURN collect(e) AS beyond
}
WITH (same + beyond)[..$limit] AS page
