CYPHER 5 replan=skip
// The live memories of some spans. $batch.spans: [[low, high]].
UNWIND $batch.spans AS span
MATCH (m:DiptychMemory) USING INDEX m:DiptychMemory(bucket)
WHERE m.bucket >= span[0] AND m.bucket < span[1] AND m.digest IS NOT NULL
RETURN collect([m.user_id, m.id, m.digest, m.version]) AS rows
