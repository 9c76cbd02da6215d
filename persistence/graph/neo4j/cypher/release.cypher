// Take the stamp of one truth away.
MATCH (s:DiptychStore {name: 'diptych', truth_id: $truth_id})
DELETE s
