// Which of our constraints and indexes are there: making one again would wait for every running write.
SHOW INDEXES YIELD name WHERE name STARTS WITH 'diptych_' RETURN collect(name) AS names
