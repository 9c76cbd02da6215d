// What follows on either. What a node remembers of its entities is distinct, so as many, and each of them, is the same.
WITH m, [(m)-[:MENTIONS]->(e:DiptychEntity) | [e.type, e.key]] AS ends,
  [i IN range(0, coalesce(size(m.entity_types), 0) - 1) | [m.entity_types[i], m.entity_keys[i]]] AS owned
CALL (m, owned) {
  UNWIND range(0, coalesce(size(m.edge_types), 0) - 1) AS i
  MATCH (source)-[r]->(target)
  WHERE id(r) = m.edge_ids[i] AND r.memory_id = m.id AND r.user_id = m.user_id AND type(r) = m.edge_types[i]
    AND [source.type, source.key] = owned[m.edge_sources[i]] AND [target.type, target.key] = owned[m.edge_targets[i]]
  RETURN count(r) AS there
}
WITH m, ends, owned, there
WHERE there <> coalesce(size(m.edge_types), 0) OR size(ends) <> size(owned) OR any(end IN owned WHERE NOT end IN ends)
  OR m:Memory <> (m.digest IS NOT NULL) OR m:Memory = m:DiptychTombstone
WITH m LIMIT $limit
RETURN collect([m.user_id, m.id]) AS rows
