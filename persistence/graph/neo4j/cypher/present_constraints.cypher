// Which of our constraints are there: making one again would wait for every running write.
SHOW CONSTRAINTS YIELD name WHERE name STARTS WITH 'diptych_' RETURN collect(name) AS names
