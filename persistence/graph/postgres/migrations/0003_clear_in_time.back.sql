-- Back to a tenant's clearing without a time.
DROP FUNCTION clear_tenant(bigint, text, integer);
