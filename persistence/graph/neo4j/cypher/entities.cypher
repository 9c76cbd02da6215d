// A page of a tenant's entities, in the order of the index: the rest of one type, then the types beyond it.
// Every comparison is the index's own: those outside it order surrogate pairs otherwise.
CALL () {
  MATCH (e:DiptychEntity) USING INDEX e:DiptychEntity(user_id, type, key)
  WHERE e.user_id = $user_id AND e.type = $type AND e.key > $key
  WITH e ORDER BY e.user_id, e.type, e.key LIMIT $limit
  RETURN collect(e) AS same
}
CALL () {
  MATCH (e:DiptychEntity) USING INDEX e:DiptychEntity(user_id, type, key)
  WHERE e.user_id = $user_id AND e.type > $type AND e.key IS NOT NULL
  WITH e ORDER BY e.user_id, e.type, e.key LIMIT $limit
  RETURN collect(e) AS beyond
}
UNWIND (same + beyond)[..$limit] AS e
RETURN collect([e.type, e.key, e.name]) AS rows
