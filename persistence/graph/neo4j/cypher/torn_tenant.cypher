CYPHER 5 replan=skip
// The same of one tenant.
MATCH (m:DiptychMemory) USING INDEX SEEK m:DiptychMemory(user_id, id)
WHERE m.user_id = $user_id AND m.id IS NOT NULL AND m.bucket >= $low AND m.bucket < $high
