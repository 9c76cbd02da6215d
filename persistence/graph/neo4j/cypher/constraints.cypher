// What may exist once only. Each constraint brings the index by which it is found, and by whose prefix a tenant is.
CREATE CONSTRAINT diptych_memory IF NOT EXISTS FOR (m:DiptychMemory) REQUIRE (m.user_id, m.id) IS UNIQUE;
CREATE CONSTRAINT diptych_entity IF NOT EXISTS FOR (e:DiptychEntity) REQUIRE (e.user_id, e.type, e.key) IS UNIQUE;
CREATE CONSTRAINT diptych_store IF NOT EXISTS FOR (s:DiptychStore) REQUIRE s.name IS UNIQUE;
// By which a check finds the memories of some buckets.
CREATE INDEX diptych_bucket IF NOT EXISTS FOR (m:DiptychMemory) ON (m.bucket);
