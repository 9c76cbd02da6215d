// What follows on either: entities without any edge, ours or anybody's, and relationships that start at these entities
// in the name of a memory that does not remember them. Where ids have changed (the database was copied, say), a memory
// remembers a relationship by its type and ends.
CALL (page) {
  UNWIND page AS e
  WITH e
  WHERE NOT EXISTS { (e)--() }
  RETURN collect([id(e), e.user_id, e.type, e.key]) AS lone
}
CALL (page) {
  UNWIND page AS e
  MATCH (e)-[r]->(target:DiptychEntity)
  WHERE r.memory_id IS NOT NULL AND r.user_id IS NOT NULL
  OPTIONAL MATCH (m:DiptychMemory {user_id: r.user_id, id: r.memory_id})
  WITH e, r, target, m
  WHERE m IS NULL OR NOT m:Memory OR NOT coalesce(id(r) IN m.edge_ids, false)
  WITH e, r, target, m,
    COUNT { UNWIND m.edge_ids AS known MATCH ()-[k]->() WHERE id(k) = known AND k.memory_id = m.id RETURN k } AS valid
  WHERE m IS NULL OR NOT m:Memory OR valid = coalesce(size(m.edge_types), 0)
    OR NOT any(i IN range(0, size(m.edge_types) - 1) WHERE m.edge_types[i] = type(r)
      AND m.entity_types[m.edge_sources[i]] = e.type AND m.entity_keys[m.edge_sources[i]] = e.key
      AND m.entity_types[m.edge_targets[i]] = target.type AND m.entity_keys[m.edge_targets[i]] = target.key)
  WITH r LIMIT $most
  RETURN collect([id(r), r.user_id, r.memory_id, type(r)]) AS strays
}
RETURN size(page) AS seen, lone, strays, [page[-1].user_id, page[-1].type, page[-1].key] AS last
