CYPHER 5 replan=skip
// Make tombstones of some of a tenant's live memories, each one version below its own: that version may come back, and
// nothing older. Locked first, looked at after.
// $not_after: milliseconds since 1970 by this server's clock.
WITH timestamp() AS now
WHERE now <= $not_after
CALL () {
  MATCH (m:DiptychMemory) USING INDEX SEEK m:DiptychMemory(user_id, id)
  WHERE m.user_id = $user_id AND m.id IS NOT NULL AND m:Memory
  WITH m LIMIT $limit
  SET m:DiptychMemory
  WITH m
  WHERE m:Memory
  CALL (m) {
    MATCH (m)-[mention:MENTIONS]->(:DiptychEntity)
    DELETE mention
  }
  SET m += {version: m.version - 1, digest: NULL, caption: NULL, agent_id: NULL, run_id: NULL, created_at: NULL,
    generation: NULL, entity_types: NULL, entity_keys: NULL, edge_ids: NULL, edge_sources: NULL, edge_types: NULL,
    edge_targets: NULL}
  SET m:DiptychTombstone
  REMOVE m:Memory
  RETURN count(m) AS removed
}
RETURN now, removed
