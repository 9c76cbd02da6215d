CYPHER 5 replan=skip
// A page of all memories in the order of the index, and those among them that live and carry another generation.
CALL () {
  MATCH (m:DiptychMemory) USING INDEX m:DiptychMemory(user_id, id)
  WHERE m.user_id = $user_id AND m.id > $id
  WITH m ORDER BY m.user_id, m.id LIMIT $limit
  RETURN collect(m) AS same
}
CALL () {
  MATCH (m:DiptychMemory) USING INDEX m:DiptychMemory(user_id, id)
  WHERE m.user_id > $user_id AND m.id IS NOT NULL
  WITH m ORDER BY m.user_id, m.id LIMIT $limit
  RETURN collect(m) AS others
}
WITH (same + others)[..$limit] AS page
