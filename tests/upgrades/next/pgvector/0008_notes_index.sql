-- concurrently
DROP INDEX CONCURRENTLY IF EXISTS memories_notes;
CREATE INDEX CONCURRENTLY memories_notes ON memories (user_id, note);
