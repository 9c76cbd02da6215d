CYPHER 5 replan=skip
// Which relationships are still in the name of a memory that does not remember them. $batch.edges, in the order of their
// memories: [[id, user_id, memory_id]]. The memory's lock comes first: whoever writes it is through then, or has not begun.
UNWIND $batch.edges AS edge
OPTIONAL MATCH (m:DiptychMemory {user_id: edge[1], id: edge[2]})
FOREACH (_ IN CASE WHEN m IS NULL THEN [] ELSE [1] END | SET m:DiptychMemory)
WITH collect([edge, m]) AS pairs
UNWIND pairs AS pair
WITH pair[0] AS edge, pair[1] AS m
MATCH (:DiptychEntity)-[r]->(:DiptychEntity)
WHERE id(r) = edge[0] AND r.user_id = edge[1] AND r.memory_id = edge[2]
  AND (m IS NULL OR NOT m:Memory OR NOT coalesce(id(r) IN m.edge_ids, false))
