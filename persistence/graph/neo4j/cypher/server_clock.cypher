// Milliseconds since 1970 by the clock that refuses late writes.
RETURN timestamp() AS now
