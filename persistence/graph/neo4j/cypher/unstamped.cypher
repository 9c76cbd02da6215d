// What follows on either.
RETURN size(page) AS seen, [page[-1].user_id, page[-1].id] AS last,
  [m IN page WHERE m:Memory AND coalesce(m.generation <> $generation, true) | [m.user_id, m.id, m.version, m.digest]] AS rows
