// Which database this is, and whose graph it says to be (nulls where it was never stamped).
CALL db.info() YIELD id, name
OPTIONAL MATCH (s:DiptychStore {name: 'diptych'})
RETURN id AS database_id, name AS database, s.id AS graph_id, s.truth_id AS truth_id, s.schema_version AS schema_version,
  s.schema_needs AS schema_needs
