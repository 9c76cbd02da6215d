-- name: wal
-- Let readers and the writer go on beside each other; the file remembers it.
PRAGMA journal_mode = WAL;

-- name: journal_limit
-- Cut the log back to this size when it begins anew.
PRAGMA journal_size_limit = 67108864;

-- name: full
-- A commit is on the disk before it is acknowledged.
PRAGMA synchronous = FULL;

-- name: normal
-- A commit outlives the process, and the machine only once a later one is on the disk.
PRAGMA synchronous = NORMAL;

-- name: begin_write
-- Begin with the write lock, so that nothing that is read can be changed by others before it is written.
BEGIN IMMEDIATE;

-- name: begin_read
-- Begin a snapshot.
BEGIN;

-- name: take
-- Read something, so that the snapshot is of now.
SELECT one FROM store_info;

-- name: commit
-- Commit.
COMMIT;

-- name: roll_back
-- Undo.
ROLLBACK;
