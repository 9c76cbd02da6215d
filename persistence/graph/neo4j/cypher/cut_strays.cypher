// What follows where they are to go: the entities that they leave without any edge go with them.
WITH DISTINCT r, startNode(r) AS source, endNode(r) AS target
DELETE r
WITH count(r) AS removed, collect(source) + collect(target) AS ends
CALL (ends) {
  UNWIND ends AS e
  WITH DISTINCT e ORDER BY e.user_id, e.type, e.key
  SET e:DiptychEntity
  WITH e
  WHERE NOT EXISTS { (e)--() }
  DELETE e
}
RETURN removed
