-- Back to a truth into which nothing can be copied at the versions of another.
DROP FUNCTION prepare_transfer(text[], text[], uuid[], bigint[], integer[], boolean[], boolean, double precision);
