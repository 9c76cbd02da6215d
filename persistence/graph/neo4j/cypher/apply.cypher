CYPHER 5 replan=skip
// Apply writes of distinct memories, in one transaction: locks, then verdicts, then removal, then creation, then sweep.
// $not_after: milliseconds since 1970 by this server's clock.
// One map carries it all: for lists of their own the statement is planned anew (0.8 s) at each order of magnitude.
// $batch.rows, in key order: [user_id, id, version, live, force, digest, bucket, caption, agent_id, run_id, created,
// mentions, edges, generation]; "created" is [seconds since 1970, nanoseconds], a mention [position in the entities, properties],
// an edge [source, type, target, properties] with its ends by position in the mentions.
// $batch.entities, in key order: [user_id, type, key, rows, names]; "rows" are the positions of the rows that mention
// it, "names" what they call it, the newest writer last.
WITH timestamp() AS now
WHERE now <= $not_after

// The write lock is taken before the version is read: setting a label that is there changes nothing, but locks.
CALL () {
  UNWIND $batch.rows AS row
  MERGE (m:DiptychMemory {user_id: row[0], id: row[1]})
  SET m:DiptychMemory
  WITH row, m, m.version AS found, m:Memory AS live
  WITH row, m, found, CASE
      WHEN found IS NULL OR found < row[2] THEN 'applied'
      WHEN found > row[2] THEN 'newer'
      WHEN row[3] AND NOT live THEN 'newer'
      WHEN row[4] THEN 'applied'
      WHEN row[3] = live AND (NOT live OR m.digest = row[5]) THEN 'same'
      ELSE 'applied'
    END AS verdict
  RETURN collect({m: m, row: row, verdict: verdict, write: verdict = 'applied',
    known: verdict = 'applied' AND found IS NOT NULL,
    version: CASE verdict WHEN 'applied' THEN row[2] ELSE found END}) AS claims
}

// Where something is replaced or deleted, the entities that are let go and those that are taken up are locked together,
// in key order: of two who let go of the same one, the second counts what is left after the first. (New memories lock
// no entity: they add edges only, and the server lets no entity go while it has an edge.)
CALL (claims) {
  UNWIND claims AS claim
  WITH claim.m AS m
  WHERE claim.known
  MATCH (m)-[:MENTIONS]->(e:DiptychEntity)
  RETURN collect(DISTINCT e) AS former
}
CALL (claims, former) {
  UNWIND CASE WHEN former = [] THEN [] ELSE $batch.entities END AS entity
  WITH entity
  WHERE any(row IN entity[3] WHERE claims[row].write)
  MATCH (e:DiptychEntity {user_id: entity[0], type: entity[1], key: entity[2]})
    USING INDEX e:DiptychEntity(user_id, type, key)
  RETURN collect(e) AS later
}
CALL (former, later) {
  UNWIND former + later AS e
  WITH DISTINCT e ORDER BY e.user_id, e.type, e.key
  SET e:DiptychEntity
}

// What the memories owned goes. Their relationships are found by the ids that the node remembers, never by expanding
// a hub; an id that is used by another relationship now is told by what it says.
CALL (claims) {
  UNWIND claims AS claim
  WITH claim.m AS m
  WHERE claim.known AND m.edge_types IS NOT NULL
  CALL (m) {
    UNWIND m.edge_ids AS edge_id
    MATCH ()-[r]->()
    WHERE id(r) = edge_id AND r.memory_id = m.id AND r.user_id = m.user_id
    DELETE r
    RETURN count(edge_id) AS removed
  }
  WITH m
  WHERE removed < size(m.edge_types)
  RETURN collect(m) AS strayed
}
// Where ids have changed (the database was copied, say): by the remembered types and ends.
CALL (strayed) {
  UNWIND strayed AS m
  UNWIND range(0, size(m.edge_types) - 1) AS i
  WITH m, m.edge_types[i] AS type, m.edge_sources[i] AS s, m.edge_targets[i] AS t
  MATCH (source:DiptychEntity {user_id: m.user_id, type: m.entity_types[s], key: m.entity_keys[s]})
    USING INDEX source:DiptychEntity(user_id, type, key)
  MATCH (target:DiptychEntity {user_id: m.user_id, type: m.entity_types[t], key: m.entity_keys[t]})
    USING INDEX target:DiptychEntity(user_id, type, key)
  MATCH (source)-[r:$(type)]->(target)
  WHERE r.memory_id = m.id AND r.user_id = m.user_id
  DELETE r
}
// With force, also what was put there behind our back: relationships in this memory's name at its entities, hubs apart.
// A rebuild finds all of those by itself, at the end.
CALL (claims) {
  UNWIND claims AS claim
  WITH claim.m AS m
  WHERE claim.known AND claim.row[4] AND claim.row[13] IS NULL
  MATCH (m)-[:MENTIONS]->(e:DiptychEntity)
  WHERE COUNT { (e)--() } <= 1000
  MATCH (e)-[r]-(:DiptychEntity)
  WHERE r.memory_id = m.id AND r.user_id = m.user_id
  DELETE r
}
CALL (claims) {
  UNWIND claims AS claim
  WITH claim.m AS m
  WHERE claim.known
  MATCH (m)-[mention:MENTIONS]->(:DiptychEntity)
  DELETE mention
}

// Entities, once each; only those that an accepted memory mentions. Each stands in a list of one, or an empty one.
CALL (claims) {
  UNWIND $batch.entities AS entity
  WITH entity, [j IN range(0, size(entity[3]) - 1) WHERE claims[entity[3][j]].write | entity[4][j]] AS names
  CALL (entity, names) {
    WITH entity, names[-1] AS name
    WHERE name IS NOT NULL
    MERGE (e:DiptychEntity {user_id: entity[0], type: entity[1], key: entity[2]})
      ON CREATE SET e:Entity, e:$(entity[1]), e.name = name
    FOREACH (_ IN CASE WHEN e.name = name THEN [] ELSE [1] END | SET e.name = name)
    RETURN collect(e) AS made
  }
  RETURN collect(made) AS nodes
}

CALL (claims) {
  UNWIND claims AS claim
  WITH claim.m AS m, claim.row AS row
  WHERE claim.write
  WITH m, row, CASE row[11] WHEN [] THEN NULL ELSE row[11] END AS mentions,
    CASE row[12] WHEN [] THEN NULL ELSE row[12] END AS edges
  SET m += {
    version: row[2], digest: row[5], bucket: row[6], caption: row[7], agent_id: row[8], run_id: row[9],
    created_at: CASE WHEN row[10] IS NOT NULL THEN datetime({epochSeconds: row[10][0], nanosecond: row[10][1]}) END,
    entity_types: [mention IN mentions | $batch.entities[mention[0]][1]],
    entity_keys: [mention IN mentions | $batch.entities[mention[0]][2]],
    edge_ids: NULL, generation: row[13],
    edge_sources: [edge IN edges | edge[0]],
    edge_types: [edge IN edges | edge[1]],
    edge_targets: [edge IN edges | edge[2]]
  }
  FOREACH (_ IN CASE WHEN row[3] THEN [1] ELSE [] END | SET m:Memory REMOVE m:DiptychTombstone)
  FOREACH (_ IN CASE WHEN row[3] THEN [] ELSE [1] END | SET m:DiptychTombstone REMOVE m:Memory)
}
CALL (claims, nodes) {
  UNWIND claims AS claim
  WITH claim.m AS m, claim.row[11] AS mentions
  WHERE claim.write
  UNWIND mentions AS mention
  WITH m, mention, nodes[mention[0]][0] AS e
  CREATE (m)-[r:MENTIONS]->(e)
  SET r = mention[1]
}
CALL (claims, nodes) {
  UNWIND claims AS claim
  WITH claim.m AS m, claim.row AS row
  WHERE claim.write AND row[12] <> []
  CALL (row, nodes) {
    UNWIND row[12] AS edge
    WITH row, edge, nodes[row[11][edge[0]][0]][0] AS source, nodes[row[11][edge[2]][0]][0] AS target
    CREATE (source)-[r:$(edge[1]) {user_id: row[0], memory_id: row[1]}]->(target)
    SET r += edge[3]
    RETURN collect(id(r)) AS ids
  }
  SET m.edge_ids = ids
}

// Entities that were let go and have no edge any more, ours or anybody's.
CALL (former) {
  UNWIND former AS e
  WITH e
  WHERE NOT EXISTS { (e)--() }
  DELETE e
}
RETURN [claim IN claims | claim.verdict] AS verdicts, [claim IN claims | claim.version] AS versions, now
