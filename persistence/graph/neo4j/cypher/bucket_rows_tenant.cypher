CYPHER 5 replan=skip
// The same of one tenant. $batch.blocks: the spans as numbers of blocks of $width buckets, which are found by a hash.
MATCH (m:DiptychMemory) USING INDEX SEEK m:DiptychMemory(user_id, id)
WHERE m.user_id = $user_id AND m.id IS NOT NULL AND m.digest IS NOT NULL AND m.bucket / $width IN $batch.blocks
RETURN collect([m.user_id, m.id, m.digest, m.version]) AS rows
