CYPHER 5 replan=skip
// Memories of a span whose edges are not those that their node remembers, or whose labels do not fit their digest.
MATCH (m:DiptychMemory) USING INDEX m:DiptychMemory(bucket)
WHERE m.bucket >= $low AND m.bucket < $high
