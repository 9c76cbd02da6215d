-- Also the rows of all tenants are read from the index alone: without the id each of them had to be looked up in the table,
-- where neighbours by bucket lie anywhere.
CREATE INDEX memories_check_rows ON memories (bucket) INCLUDE (digest, version, user_id, id);
DROP INDEX memories_check_all;
ALTER INDEX memories_check_rows RENAME TO memories_check_all;
