// From the count store; every tombstone carries a label of its own for that.
CALL () { MATCH (m:DiptychMemory) RETURN count(m) AS nodes }
CALL () { MATCH (m:DiptychTombstone) RETURN count(m) AS tombstones }
CALL () { MATCH (e:DiptychEntity) RETURN count(e) AS entities }
RETURN nodes - tombstones AS memories, tombstones, entities
