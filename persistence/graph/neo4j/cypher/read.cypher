CYPHER 5 replan=skip
// What the graph holds of memories. $batch.keys: [[user_id, id]].
// Its relationships are found by the ids it remembers; others in its name are looked for at the entities that it
// mentions or remembers to have mentioned, but not at those with more than $hub relationships.
UNWIND $batch.keys AS key
MATCH (m:DiptychMemory {user_id: key[0], id: key[1]}) USING INDEX m:DiptychMemory(user_id, id)
CALL (m) {
  OPTIONAL MATCH (m)-[mention:MENTIONS]->(e:DiptychEntity)
  RETURN collect([e.type, e.key, e.name, properties(mention)]) AS entities, collect(e) AS mentioned
}
CALL (m) {
  UNWIND range(0, coalesce(size(m.entity_types), 0) - 1) AS i
  MATCH (e:DiptychEntity {user_id: m.user_id, type: m.entity_types[i], key: m.entity_keys[i]})
    USING INDEX e:DiptychEntity(user_id, type, key)
  RETURN collect(e) AS remembered
}
CALL (m) {
  UNWIND m.edge_ids AS edge_id
  MATCH ()-[r]->()
  WHERE id(r) = edge_id AND r.memory_id = m.id AND r.user_id = m.user_id
  RETURN collect(r) AS known
}
WITH m, entities, known, mentioned + remembered AS ends, size(known) < coalesce(size(m.edge_types), 0) AS strayed
CALL (m, ends, strayed) {
  UNWIND ends AS end
  WITH DISTINCT m, end
  WHERE strayed OR COUNT { (end)-->() } <= $hub
  MATCH (end)-[r]->(:DiptychEntity)
  WHERE r.memory_id = m.id AND r.user_id = m.user_id
  RETURN collect(r) AS found
}
CALL (known, found) {
  UNWIND known + found AS r
  WITH DISTINCT r, startNode(r) AS source, endNode(r) AS target
  RETURN collect([[source.type, source.key], type(r), [target.type, target.key], properties(r)]) AS edges
}
RETURN collect({user_id: m.user_id, id: m.id, version: m.version, digest: m.digest, bucket: m.bucket, live: m:Memory,
  caption: m.caption, agent_id: m.agent_id, run_id: m.run_id, edges: edges,
  entities: [entity IN entities WHERE entity[0] IS NOT NULL],
  created: CASE WHEN m.created_at IS :: ZONED DATETIME NOT NULL
    THEN toString(datetime({datetime: m.created_at, timezone: 'Z'})) END}) AS rows
