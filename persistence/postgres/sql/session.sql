-- name: begin
-- Begin a transaction.
BEGIN;

-- name: server
-- What the server is.
SELECT current_setting('server_version'), current_setting('server_version_num')::integer;
