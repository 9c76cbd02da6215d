// Stamp the graph with its identity; of two who do it at once, one wins, and both read who.
MERGE (s:DiptychStore {name: 'diptych'})
  ON CREATE SET s.id = $graph_id, s.truth_id = $truth_id, s.created_at = datetime(), s.schema_version = $schema,
    s.schema_needs = $schema
