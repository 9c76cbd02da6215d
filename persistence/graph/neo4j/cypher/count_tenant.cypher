// One tenant's, by the prefix of the unique indexes, no more than so many.
CALL () {
  MATCH (m:DiptychMemory) USING INDEX SEEK m:DiptychMemory(user_id, id)
  WHERE m.user_id = $user_id AND m.id IS NOT NULL
  WITH m LIMIT $most
  RETURN count(m) AS nodes, count(CASE WHEN m:Memory THEN 1 END) AS memories
}
CALL () {
  MATCH (e:DiptychEntity) USING INDEX e:DiptychEntity(user_id, type, key)
  WHERE e.user_id = $user_id AND e.type IS NOT NULL AND e.key IS NOT NULL
  WITH e LIMIT $most
  RETURN count(e) AS entities
}
RETURN memories, nodes - memories AS tombstones, entities
