"""`backup`, `restore`, `erase`: copies of a truth that outlive it, and what must not outlive its owner's wish."""
