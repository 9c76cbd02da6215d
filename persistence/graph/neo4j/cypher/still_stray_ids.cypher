RETURN collect(id(r)) AS rows
