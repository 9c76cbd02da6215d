#!/bin/bash
# Runs once, when the database is made: a user for the service that owns its database, and may nothing beyond it.
set -euo pipefail

test -s "$DIPTYCH_PASSWORD_FILE"
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\set password `cat "$DIPTYCH_PASSWORD_FILE"`
CREATE ROLE diptych LOGIN PASSWORD :'password';
CREATE DATABASE diptych OWNER diptych;
REVOKE CONNECT ON DATABASE diptych FROM PUBLIC;
\connect diptych
-- Only a superuser may make this extension.
CREATE EXTENSION vector;
SQL
