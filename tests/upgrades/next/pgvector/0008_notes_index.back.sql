-- concurrently
DROP INDEX CONCURRENTLY IF EXISTS memories_notes;
