CYPHER 5 replan=skip
// Live memories of a span by the prefix of their bucket: how many, and the sums of both halves of digest and version.
MATCH (m:DiptychMemory) USING INDEX m:DiptychMemory(bucket)
WHERE m.bucket >= $low AND m.bucket < $high AND m.digest IS NOT NULL
