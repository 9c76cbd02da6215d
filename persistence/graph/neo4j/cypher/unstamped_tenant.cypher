CYPHER 5 replan=skip
// A page of one tenant's memories in the order of the index, and those that live and carry another generation.
CALL () {
  MATCH (m:DiptychMemory) USING INDEX SEEK m:DiptychMemory(user_id, id)
  WHERE m.user_id = $user_id AND m.id > $id
  WITH m ORDER BY m.user_id, m.id LIMIT $limit
  RETURN collect(m) AS page
}
WITH page
