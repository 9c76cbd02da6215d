"""What every store on PostgreSQL stands on: connections, a pool, errors, migrations, and queries in .sql files."""
